"""What has to be true of every set of objects that is given to a cluster, whoever made it: k8s/ or the chart."""

import functools
import os
import pathlib
import re
import subprocess

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The oldest release that has all that is used (preStop with `sleep`), and the newest whose schemas are there.
KUBERNETES = ["1.30", kubernetes_validate.latest_version()]
# Seconds between the end of the server's own time-outs and the moment it is killed.
MARGIN = 5
# API groups that are not Kubernetes' own; tests/deploy/custom knows their kinds.
CUSTOM = {"gateway.networking.k8s.io", "monitoring.coreos.com", "keda.sh"}
# The server's, and so those that nothing else may name.
VARIABLES = set(re.findall(r"^\| `([A-Z][A-Z0-9_]{3,})` \|", (ROOT / "README.md").read_text(), re.MULTILINE)) | {"METRICS_PORT"}
VARIABLES |= set(re.findall(r"`([A-Z][A-Z0-9_]+_FILE)` names a file", (ROOT / "README.md").read_text()))


def parse(text):
    return [item for item in yaml.safe_load_all(text) if item]


def of_kind(objects, kind):
    return [item for item in objects if item["kind"] == kind]


def names(objects, kind):
    return {item["metadata"]["name"] for item in of_kind(objects, kind)}


def check(test, objects):
    """Fails `test` unless all that this file knows holds for `objects`."""
    test.assertTrue(objects)
    identities = [(item["kind"], item["metadata"]["name"]) for item in objects]
    test.assertEqual(len(identities), len(set(identities)), "two objects of one name")
    test.assertNotIn("Secret", {item["kind"] for item in objects}, "secrets are referred to, not made")
    for item in objects:
        check_schema(test, item)
    for pod in pods(objects):
        check_pod(test, pod)
    check_references(test, objects)
    (deployment,) = [item for item in of_kind(objects, "Deployment") if is_server(item)]
    check_end(test, objects, deployment)
    check_probes(test, deployment)
    check_settings(test, objects, deployment)


def check_schema(test, item):
    with test.subTest(kind=item["kind"], name=item["metadata"]["name"]):
        if item["apiVersion"].split("/")[0] in CUSTOM:
            run = subprocess.run(["custom"], input=yaml.safe_dump(item), capture_output=True, text=True)
            test.assertEqual(run.returncode, 0, run.stderr)
            return
        for version in KUBERNETES:
            kubernetes_validate.validate(item, version, strict=True)


def pods(objects):
    for item in objects:
        if item["kind"] in ("Deployment", "StatefulSet"):
            yield item["spec"]["template"]
        if item["kind"] == "Pod":
            yield item


def check_pod(test, pod):
    """The restricted profile of the Pod Security Standards, no token, no writable root, and bounds."""
    spec = pod["spec"]
    test.assertIs(spec["automountServiceAccountToken"], False)
    test.assertIs(spec["securityContext"]["runAsNonRoot"], True)
    test.assertGreater(spec["securityContext"]["runAsUser"], 0)
    test.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
    test.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & set(spec))
    test.assertLessEqual({kind for volume in spec.get("volumes", []) for kind in volume} - {"name"}, {"secret", "emptyDir", "configMap"})
    for container in spec["containers"]:
        context = container["securityContext"]
        test.assertIs(context["allowPrivilegeEscalation"], False)
        test.assertIs(context["readOnlyRootFilesystem"], True)
        test.assertEqual(context["capabilities"], {"drop": ["ALL"]})
        test.assertIn("memory", container["resources"]["limits"])
        test.assertLessEqual({"cpu", "memory"}, set(container["resources"]["requests"]))
        test.assertRegex(container["image"], r"(:[0-9][\w.-]*|@sha256:[0-9a-f]{64})$", "an image without a version")
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        test.assertEqual({mount["name"] for mount in container.get("volumeMounts", [])} - volumes, set())


def check_references(test, objects):
    """What one object says of another is so: no selector that finds nothing, or everything."""
    labels = [pod["metadata"]["labels"] for pod in pods(objects)]
    ports = {port["name"] for pod in pods(objects) for container in pod["spec"]["containers"] for port in container.get("ports", [])}

    def selects(selector, what):
        test.assertTrue(selector, f"{what} selects everything")
        test.assertEqual(sum(selector.items() <= of.items() for of in labels), 1, f"{what} selects {selector}")

    for item in objects:
        what = f"{item['kind']} {item['metadata']['name']}"
        spec = item.get("spec", {})
        if item["kind"] == "Service":
            selects(spec["selector"], what)
            test.assertLessEqual({port["targetPort"] for port in spec["ports"]}, ports)
        if item["kind"] == "NetworkPolicy":
            selects(spec["podSelector"]["matchLabels"], what)
        if item["kind"] == "PodDisruptionBudget":
            selects(spec["selector"]["matchLabels"], what)
        if item["kind"] == "Deployment":
            selects(spec["selector"]["matchLabels"], what)
            for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
                selects(spread["labelSelector"]["matchLabels"], f"{what} spreads")
            accounts = names(objects, "ServiceAccount") | {"default"}
            test.assertIn(spec["template"]["spec"].get("serviceAccountName", "default"), accounts)
        if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            test.assertIn(spec["scaleTargetRef"]["name"], names(objects, "Deployment"))
            (scaled,) = [of for of in of_kind(objects, "Deployment") if of["metadata"]["name"] == spec["scaleTargetRef"]["name"]]
            test.assertNotIn("replicas", scaled["spec"], "each release would undo what the autoscaler did")
        if item["kind"] == "Ingress":
            for backend in (path["backend"]["service"] for rule in spec["rules"] for path in rule["http"]["paths"]):
                check_backend(test, objects, backend["name"], backend["port"]["name"], "name")
        if item["kind"] == "HTTPRoute":
            for backend in (of for rule in spec["rules"] for of in rule["backendRefs"]):
                check_backend(test, objects, backend["name"], backend["port"], "port")
        if item["kind"] == "ServiceMonitor":
            selector = spec["selector"]["matchLabels"]
            (service,) = [of for of in of_kind(objects, "Service") if selector.items() <= of["metadata"]["labels"].items()]
            test.assertLessEqual({of["port"] for of in spec["endpoints"]}, {port["name"] for port in service["spec"]["ports"]})


def check_backend(test, objects, name, port, key):
    (service,) = [item for item in of_kind(objects, "Service") if item["metadata"]["name"] == name]
    test.assertIn(port, [of[key] for of in service["spec"]["ports"]])


def is_server(deployment):
    return deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == "switchboard"


def check_end(test, objects, deployment):
    """Clients are sent away, and work is finished, before the process is killed."""
    spec = deployment["spec"]["template"]["spec"]
    settings = environment(objects, deployment)
    pause = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    needed = pause + (int(settings["DRAIN_TIMEOUT"]) + int(settings["SHUTDOWN_TIMEOUT"])) / 1000 + MARGIN
    test.assertGreaterEqual(spec["terminationGracePeriodSeconds"], needed)


def check_probes(test, deployment):
    """A node that has as many clients as it takes is sent no more, and is not killed: its port for clients need not answer then."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    asked = {probe: (container[probe]["httpGet"]["path"], container[probe]["httpGet"]["port"]) for probe in container if probe.endswith("Probe")}
    alive = ("/livez", "metrics")
    test.assertEqual(asked, {"startupProbe": alive, "livenessProbe": alive, "readinessProbe": ("/readyz", "http")})


def environment(objects, deployment):
    """The variables that the server is given, as far as they are not in Secrets."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    settings = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found = [item for item in of_kind(objects, "ConfigMap") if item["metadata"]["name"] == source["configMapRef"]["name"]]
            settings |= found[0]["data"] if found else {}
    for variable in container.get("env", []):
        settings[variable["name"]] = variable.get("value", f"secret-{variable['name'].lower()}")
    return settings


def check_settings(test, objects, deployment):
    """The server knows every variable, and takes the values; its own check says so."""
    settings = environment(objects, deployment)
    test.assertLessEqual(set(settings), VARIABLES)
    for name, value in settings.items():
        if name.endswith("_URL") and value.startswith("secret-"):
            settings[name] = "redis://in-a-secret"
    # Files of Secrets are not there; the rest of the settings can be tried all the same.
    tried = {name: value for name, value in settings.items() if not value.startswith("/etc/switchboard/")}
    for group in ("APNS_", "REDIS_TLS_", "FIREBASE_", "TURN_", "TLS_"):
        if set(name for name in settings if name.startswith(group)) - set(tried):
            tried = {name: value for name, value in tried.items() if not name.startswith(group)}
    secret = {"JWT_SECRET": "in the Secret, and long enough for it", "WEBHOOK_SECRET": "in-the-Secret-and-long-enough"}
    tried = {"NODE_ENV": "production"} | secret | tried
    run = subprocess.run([os.environ["SWITCHBOARD_BIN"], "check-config"], env=tried, cwd="/", capture_output=True, text=True)
    test.assertEqual(run.returncode, 0, run.stdout + run.stderr)


def same(item):
    """An object without what only says who made it, to be compared with another's."""
    text = yaml.safe_dump(item, sort_keys=True)
    item = yaml.safe_load(re.sub(r"\b(switchboard)-[a-z0-9]{10}\b", r"\1", text))
    for metadata in [item["metadata"], item.get("spec", {}).get("template", {}).get("metadata", {})]:
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"):
            metadata.get("labels", {}).pop(label, None)
        metadata.get("annotations", {}).pop("checksum/config", None)
        for empty in [key for key, value in metadata.items() if value == {}]:
            metadata.pop(empty)
    item["metadata"].pop("namespace", None)
    return item


@functools.cache
def kustomize(folder):
    run = subprocess.run(["kubectl", "kustomize", ROOT / "k8s" / folder], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout
