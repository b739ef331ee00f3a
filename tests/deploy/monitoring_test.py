"""The chart's alerts and its dashboard: what is rendered is what was tried, and names only what there is."""

import json
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

import manifests
from helm_test import CHART, objects_of, render

ALERTS = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
RULES = ALERTS["groups"][0]["rules"]
CASES = manifests.ROOT / "tests/deploy/alerts.yaml"
README = (manifests.ROOT / "README.md").read_text()
DOCUMENT = (manifests.ROOT / "docs/metrics.md").read_text()
METRICS = set(re.findall(r"^\| `(switchboard_\w+)` \| \w", DOCUMENT, re.MULTILINE))
# Labels whose values are listed there, and the values of all of them.
VALUES = {"event", "result", "reason", "limit", "outcome", "queue", "path", "source", "operation"}
WORDS = set(re.findall(r"`(\w+)`", DOCUMENT))


def promtool(*arguments):
    assert shutil.which("promtool"), "promtool is missing (Debian: prometheus)"
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)


def unknown_metrics(text):
    named = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\bswitchboard_\w+", text)}
    return named - METRICS


def unknown_values(text):
    named = {word for label, words in re.findall(r'(\w+)(?:=|!=|=~|!~)\\*"([\w|\[\]]+)\\*"', text) if label in VALUES for word in words.split("|")}
    return {word for word in named if not any(re.fullmatch(word, known) for known in WORDS)}


class Alerts(unittest.TestCase):
    def test_they_fire_when_they_should_and_not_otherwise(self):
        run = promtool("test", "rules", CASES)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_each_is_seen_to_fire(self):
        seen = set(re.findall(r'labels: \'ALERTS{alertname="(\w+)"', CASES.read_text()))
        self.assertEqual(seen, {rule["alert"] for rule in RULES})

    def test_the_chart_has_them_as_they_were_tried(self):
        (item,) = manifests.of_kind(objects_of("nginx"), "PrometheusRule")
        self.assertEqual(item["spec"], ALERTS)
        self.assertEqual(item["metadata"]["labels"]["release"], "prometheus")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(item["spec"], file)
            file.flush()
            run = promtool("check", "rules", file.name)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertNotIn("PrometheusRule", render())

    def test_each_says_what_it_means_and_what_to_do(self):
        anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
        rows = dict(re.findall(r"^\| `(Switchboard\w+)` \| (\w+) \|", README, re.MULTILINE))
        self.assertEqual(rows, {rule["alert"]: rule["labels"]["severity"] for rule in RULES}, "the table in README.md")
        for rule in RULES:
            with self.subTest(alert=rule["alert"]):
                self.assertIn(rule["labels"]["severity"], ("critical", "warning"))
                self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook"})
                file, anchor = rule["annotations"]["runbook"].split("#")
                self.assertEqual(file, "README.md")
                self.assertIn(anchor, anchors)
                self.assertIn("for", rule)
                self.assertEqual(unknown_metrics(rule["expr"]) | unknown_values(rule["expr"]), set())


class Dashboard(unittest.TestCase):
    def test_the_chart_has_it_as_it_is(self):
        (item,) = [item for item in manifests.of_kind(objects_of("nginx"), "ConfigMap") if item["metadata"]["name"].endswith("-dashboard")]
        self.assertEqual(item["metadata"]["labels"]["grafana_dashboard"], "1")
        self.assertEqual(item["metadata"]["annotations"], {"grafana_folder": "Calls"})
        text = (CHART / "files/dashboard.json").read_text()
        self.assertEqual(json.loads(item["data"]["switchboard.json"]), json.loads(text))
        self.assertEqual(unknown_metrics(text) | unknown_values(text), set())
        self.assertNotIn("grafana_dashboard", render())
