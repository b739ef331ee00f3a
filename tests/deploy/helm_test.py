"""The chart: rendered with every file of values in its ci/, with values it has to refuse, and compared with k8s/."""

import functools
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

import manifests

CHART = manifests.ROOT / "helm/switchboard"
FILES = sorted((CHART / "ci").glob("*-values.yaml"))


def helm(*arguments):
    return subprocess.run(["helm", *map(str, arguments)], capture_output=True, text=True)


@functools.cache
def render(*arguments):
    run = helm("template", "switchboard", CHART, "--namespace", "calls", *arguments)
    assert run.returncode == 0, run.stderr
    return run.stdout


def objects_of(name):
    return manifests.parse(render("--values", CHART / f"ci/{name}-values.yaml"))


def the(objects, kind):
    (item,) = [item for item in manifests.of_kind(objects, kind) if not item["metadata"]["name"].endswith(("-internal", "-dashboard", "-hot"))]
    return item


class Chart(unittest.TestCase):
    maxDiff = None

    def test_it_is_sound_with_all_values_that_are_tried(self):
        self.assertGreaterEqual(len(FILES), 6)
        for file in [None, *FILES]:
            with self.subTest(values=file and file.name):
                arguments = ["--values", file] if file else []
                lint = helm("lint", "--strict", CHART, *arguments)
                self.assertEqual(lint.returncode, 0, lint.stdout + lint.stderr)
                manifests.check(self, manifests.parse(render(*arguments)))

    def test_it_says_what_k8s_says(self):
        def index(objects):
            known = [manifests.same(item) for item in objects if item["kind"] != "Pod"]
            return {(item["kind"], item["metadata"]["name"]): item for item in known}

        chart, plain = index(objects_of("k8s")), index(manifests.parse(manifests.kustomize("base")))
        self.assertEqual(set(chart), set(plain))
        for key, item in plain.items():
            with self.subTest(object=key):
                self.assertEqual(chart[key], item)

    def test_every_proxy_gets_its_cookie(self):
        nginx = the(objects_of("nginx"), "Ingress")
        self.assertEqual(nginx["metadata"]["annotations"]["nginx.ingress.kubernetes.io/affinity"], "cookie")
        self.assertEqual(nginx["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"], "4m")
        traefik = the(objects_of("traefik"), "Service")["metadata"]["annotations"]
        self.assertEqual(traefik["traefik.ingress.kubernetes.io/service.sticky.cookie.name"], "switchboard")
        haproxy = the(objects_of("haproxy"), "Service")["metadata"]["annotations"]
        self.assertEqual(haproxy["haproxy.org/cookie-persistence"], "switchboard")
        (rule,) = the(objects_of("gateway"), "HTTPRoute")["spec"]["rules"]
        self.assertEqual(rule["sessionPersistence"]["sessionName"], "switchboard")
        none = manifests.parse(render("--set", "ingress.enabled=true,ingress.hosts={a.example.org},stickiness.enabled=false"))
        self.assertNotIn("cookie", json.dumps(the(none, "Ingress")))

    def test_secrets_are_files_or_variables_by_reference(self):
        pod = the(objects_of("nginx"), "Deployment")["spec"]["template"]["spec"]
        mounted = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        self.assertEqual(mounted, {"firebase", "apns", "turn", "redis-tls", "jwt", "pods-tls"})
        variables = {item["name"]: item.get("valueFrom") for item in pod["containers"][0]["env"]}
        self.assertEqual(variables["REDIS_PASSWORD"], {"secretKeyRef": {"name": "redis", "key": "password"}})
        settings = the(objects_of("nginx"), "ConfigMap")["data"]
        self.assertEqual(settings["TURN_STATIC_SECRET_FILE"], "/etc/switchboard/turn/secret")
        self.assertEqual(settings["JWT_SECRET_FILE"], "/etc/switchboard/jwt-secret/current")
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        self.assertEqual(mounts["jwt-secret"], "/etc/switchboard/jwt-secret")
        self.assertEqual(settings["CALL_MAX_DURATION"], "86400000")
        self.assertEqual(settings["WEBHOOK_URL"], "https://backend.example.org/calls")
        self.assertEqual(settings["WEBHOOK_EVENTS"], "call.ended,call.missed")
        self.assertEqual(settings["TURN_REGIONS"], "eu=turn:eu.example.org; us=turn:us.example.org,turns:us.example.org:443?transport=tcp")

    def test_what_is_hot_is_in_a_file_and_starts_no_pods(self):
        def parts(*arguments):
            objects = manifests.parse(render("--set", ",".join(arguments)))
            (hot,) = [item for item in manifests.of_kind(objects, "ConfigMap") if item["metadata"]["name"].endswith("-hot")]
            return hot["data"]["settings"], the(objects, "Deployment")["spec"]["template"]

        one, template = parts("hotConfig.LOG_LEVEL=debug", "hotConfig.EVENT_BYTES_RATE=10000000")
        self.assertEqual(one, "EVENT_BYTES_RATE=10000000\nLOG_LEVEL=debug\n")
        another, same = parts("hotConfig.LOG_LEVEL=info")
        self.assertNotEqual(one, another)
        self.assertEqual(template, same)

    def test_pods_that_speak_tls_are_spoken_to_by_tls(self):
        for name in ("nginx", "traefik", "haproxy"):
            with self.subTest(values=name):
                objects = manifests.parse(render("--values", CHART / f"ci/{name}-values.yaml", "--set", "tls.existingSecret=tls"))
                container = the(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
                self.assertEqual(container["readinessProbe"]["httpGet"]["scheme"], "HTTPS")
                self.assertNotIn("scheme", container["livenessProbe"]["httpGet"])
                service = the(objects, "Service")
                self.assertEqual(service["spec"]["ports"][0]["appProtocol"], "https")
                annotations = service["metadata"].get("annotations", {}) | the(objects, "Ingress")["metadata"].get("annotations", {})
                self.assertIn(annotations.get(*{
                    "nginx": ("nginx.ingress.kubernetes.io/backend-protocol",),
                    "traefik": ("traefik.ingress.kubernetes.io/service.serversscheme",),
                    "haproxy": ("haproxy.org/server-ssl",),
                }[name]), ("HTTPS", "https", "true"))

    def test_turn_credentials_live_as_long_as_they_are_to_wherever_the_secret_is(self):
        for where in ("turn.existingSecret=turn", "existingSecret=switchboard"):
            with self.subTest(secret=where):
                objects = manifests.parse(render("--set", f"turn.urls={{turn:a.example.org}},turn.ttl=600,{where}"))
                self.assertEqual(the(objects, "ConfigMap")["data"]["TURN_TTL"], "600")

    def test_a_change_of_settings_starts_new_pods(self):
        def checksum(*arguments):
            template = the(manifests.parse(render(*arguments)), "Deployment")["spec"]["template"]
            return template["metadata"]["annotations"]["checksum/config"]

        self.assertNotEqual(checksum(), checksum("--set", "config.LOG_LEVEL=debug"))

    def test_what_does_not_fit_is_refused_with_words(self):
        for values, words in REFUSED.items():
            with self.subTest(values=values):
                run = helm("template", "switchboard", CHART, *[word for value in values.split() for word in ("--set", value)])
                self.assertNotEqual(run.returncode, 0)
                self.assertIn(words, run.stderr)

    def test_variables_that_it_names_are_the_servers(self):
        text = "".join(file.read_text() for file in (CHART / "templates").glob("_*.tpl"))
        named = set(re.findall(r'"([A-Z][A-Z0-9]*_[A-Z0-9_]+)"', text))
        self.assertGreater(len(named), 20)
        self.assertLessEqual(named, manifests.VARIABLES)

    def test_the_version_is_that_of_the_server(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        version = re.search(r'^version = "(.+)"', (manifests.ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
        self.assertEqual(chart["appVersion"], version)

    def test_notes_say_what_to_do(self):
        # Without a cluster helm shows no notes; as part of an object it does.
        with tempfile.TemporaryDirectory(dir=manifests.ROOT / "target") as folder:
            chart = shutil.copytree(CHART, pathlib.Path(folder, "switchboard"))
            (chart / "templates/NOTES.txt").rename(chart / "notes.txt")
            (chart / "templates/notes.yaml").write_text('notes: {{ tpl (.Files.Get "notes.txt") . | quote }}\n')
            for name, words in NOTES.items():
                with self.subTest(values=name):
                    values = CHART / f"ci/{name}-values.yaml"
                    run = helm("template", "switchboard", chart, "--values", values, "--show-only", "templates/notes.yaml")
                    self.assertEqual(run.returncode, 0, run.stderr)
                    notes = yaml.safe_load(run.stdout)["notes"]
                    for word in words:
                        self.assertIn(word, notes)


class Values(unittest.TestCase):
    def test_the_readme_is_that_of_the_values(self):
        run = subprocess.run([manifests.ROOT / "helm/readme", "--print"], capture_output=True, text=True, check=True)
        self.assertEqual((CHART / "README.md").read_text(), run.stdout, "helm/readme writes it anew")

    def test_each_is_described_and_in_the_schema(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        described = set(re.findall(r"^\| `([\w.]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE))

        def walk(values, schema, path):
            self.assertLessEqual(set(values), set(schema["properties"]), path)
            self.assertLessEqual(set(schema["properties"]) - {"global"}, set(values), f"{path}: only the schema knows it")
            for name, value in values.items():
                here = ".".join([*path, name])
                if here not in described:
                    self.assertIsInstance(value, dict, f"{here} has no comment")
                    walk(value, schema["properties"][name], [*path, name])

        walk(yaml.safe_load((CHART / "values.yaml").read_text()), schema, [])


NOTES = {
    "traefik": ["http://calls.example.org", "2 to 10 nodes", "The Secret switchboard", "entry point", "Without ingress.tls"],
    "k8s": ["https://calls.example.org", "helm --namespace default test switchboard"],
    "gateway": ["calls.example.org, by the Gateway", "2 node(s)"],
    "one": ["port-forward service/calls 3000:80", "forgets calls", "transports: ['websocket']"],
}
REFUSED = {
    "drain.drainSeconds=11": "terminationGracePeriodSeconds is 30, and has to be 31 at least",
    "terminationGracePeriodSeconds=29": "has to be 30 at least",
    "config.DRAIN_TIMEOUT=1000": "drain.drainSeconds",
    "config.JWT_SECRET=x": "is a secret",
    "config.LOG_LEVEL=info hotConfig.LOG_LEVEL=debug": "the latter would win",
    "hotConfig.PORT=1": "invalid propertyName 'PORT'",
    "secretFiles.JWT_SECRET.secret=jwt": "key",
    "config.TLS_CERT=x": "tls.existingSecret",
    "config.call_rate=x": "'call_rate' does not match",
    "redis.url=redis://user:password@redis:6379": "has a password in it",
    "redis.url=http://redis": "redis",
    "config.REDIS_HOST=redis": "where Redis is has one place",
    "redis.tls.existingSecret=tls": "needs redis.tls.enabled",
    "redis.tls.certKey=tls.crt": "need each other",
    "redis.enabled=false": "set replicaCount to 1",
    "apns.existingSecret=apns": "needs apns.keyId",
    "turn.existingSecret=turn": "need turn.urls",
    "config.WEBHOOK_SECRET=x": "is a secret",
    "config.WEBHOOK_URL=https://backend.example.org": "webhooks.url",
    "webhooks.events={call.ended}": "needs webhooks.url",
    "webhooks.url=https://backend.example.org existingSecret=": "needs WEBHOOK_SECRET",
    "webhooks.url=backend": "webhooks",
    "turn.urls={stun:a.example.org}": "turn",
    "autoscaling.enabled=true keda.enabled=true": "fight",
    "autoscaling.enabled=true autoscaling.targetCPUUtilizationPercentage=0": "needs something to go by",
    "autoscaling.minReplicas=11": "is less than",
    "ingress.enabled=true": "needs ingress.hosts",
    "ingress.controller=apache": "controller",
    "httpRoute.enabled=true": "needs httpRoute.parentRefs",
    "metrics.serviceMonitor.enabled=true internalService.enabled=false": "needs internalService.enabled",
    "replicas=3": "replicas",
    "image.digest=sha256:12": "digest",
}
