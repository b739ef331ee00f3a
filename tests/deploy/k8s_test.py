"""k8s/: what kustomize makes of the base, the overlay and the component."""

import pathlib
import tempfile
import unittest
import urllib.parse

import yaml

import manifests


class Kustomize(unittest.TestCase):
    def test_the_base_is_sound(self):
        objects = manifests.parse(manifests.kustomize("base"))
        manifests.check(self, objects)
        self.assertEqual(len(objects), 9)

    def test_the_overlay_for_a_trial_brings_its_redis(self):
        objects = manifests.parse(manifests.kustomize("overlays/trial"))
        manifests.check(self, objects)
        (server,) = [item for item in manifests.of_kind(objects, "Deployment") if manifests.is_server(item)]
        url = manifests.environment(objects, server)["REDIS_URL"]
        self.assertIn(urllib.parse.urlsplit(url).hostname, manifests.names(objects, "Service"))

    def test_the_component_adds_connections_to_the_autoscaler(self):
        with tempfile.TemporaryDirectory(dir=manifests.ROOT / "target") as folder:
            relative = "../../k8s"
            overlay = {"resources": [f"{relative}/base"], "components": [f"{relative}/components/connections"]}
            pathlib.Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(overlay))
            objects = manifests.parse(manifests.kustomize(folder))
        manifests.check(self, objects)
        (scaler,) = manifests.of_kind(objects, "HorizontalPodAutoscaler")
        self.assertEqual([metric["type"] for metric in scaler["spec"]["metrics"]], ["Resource", "Pods"])
