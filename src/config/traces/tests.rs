//! What operators write about traces, and what they are told.

use secrecy::ExposeSecret;

use super::*;
use crate::config::Config;

const COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn config(vars: &[(&str, &str)]) -> Config {
    Config::from_vars(vars.iter().copied()).unwrap()
}

fn traces(vars: &[(&str, &str)]) -> Option<TracesConfig> {
    config(vars).traces
}

/// Those with a collector.
fn on(more: &[(&str, &str)]) -> TracesConfig {
    traces(&[&[COLLECTOR], more].concat()).unwrap()
}

fn problem(more: &[(&str, &str)]) -> String {
    Config::from_vars([&[COLLECTOR], more].concat()).unwrap_err().to_string()
}

#[test]
fn without_a_collector_there_are_none_and_nobody_reads_the_rest() {
    let injected = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "xray")];
    assert!(traces(&injected).is_none());
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        assert!(traces(&[COLLECTOR, off, injected[0]]).is_none());
    }
    for sampler in ["always_off", "parentbased_always_off"] {
        assert!(traces(&[COLLECTOR, ("OTEL_TRACES_SAMPLER", sampler)]).is_none());
    }
    let never = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")];
    assert!(traces(&[COLLECTOR, never[0], never[1]]).is_none());
}

#[test]
fn the_path_is_added_to_the_common_address_only() {
    let endpoint = |vars: &[(&str, &str)]| traces(vars).unwrap().endpoint.to_string();
    assert_eq!(endpoint(&[COLLECTOR]), "http://collector:4318/v1/traces");
    assert_eq!(endpoint(&[(COLLECTOR.0, "https://a.example/otlp/")]), "https://a.example/otlp/v1/traces");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://b.example/in");
    assert_eq!(endpoint(&[COLLECTOR, own]), "https://b.example/in");
    assert_eq!(endpoint(&[("OTEL_TRACES_EXPORTER", "otlp")]), "http://localhost:4318/v1/traces");
}

#[test]
fn the_name_of_the_service_may_be_among_the_attributes() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=calls, deployment.environment.name=a%2Cb,zone=");
    let both = on(&[attributes, ("OTEL_SERVICE_NAME", "rings")]);
    assert_eq!((both.service_name.as_str(), on(&[attributes]).service_name.as_str()), ("rings", "calls"));
    assert_eq!(on(&[]).service_name, "switchboard");
    let rest = [("deployment.environment.name", "a,b"), ("zone", "")];
    assert_eq!(both.resource, rest.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[test]
fn every_sampler_is_a_part_of_the_calls() {
    let ratio = |sampler, arg| on(&[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", arg)]).ratio;
    let cases = [("always_on", "", 1.0), ("parentbased_always_on", "", 1.0), ("traceidratio", "0.25", 0.25)];
    for (sampler, arg, expected) in cases.into_iter().chain([("parentbased_traceidratio", "1", 1.0)]) {
        assert!((ratio(sampler, arg) - expected).abs() < f64::EPSILON, "{sampler}");
    }
    let ignored = config(&[COLLECTOR, ("OTEL_TRACES_SAMPLER_ARG", "0.1")]).warnings;
    assert!(ignored.iter().any(|text| text.starts_with("OTEL_TRACES_SAMPLER_ARG is ignored")), "{ignored:?}");
}

#[test]
fn headers_are_shown_to_nobody() {
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20hunter2, x-scope = a");
    let config = config(&[COLLECTOR, headers]);
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let read: Vec<_> = config.traces.unwrap().headers;
    let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(read, [("authorization", "Basic hunter2"), ("x-scope", "a")]);
    assert!(config.warnings.iter().any(|text| text.ends_with("GO UNENCRYPTED TO collector: use https")));
    let refused = problem(&[("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")]);
    assert_eq!(refused, "OTEL_EXPORTER_OTLP_HEADERS: wants secret headers such as api-key=value, separated by commas");
    assert!(!problem(&[("OTEL_EXPORTER_OTLP_HEADERS", "x=hunter2%0A")]).contains("hunter2"));
}

#[test]
fn what_is_wrong_is_said_all_at_once() {
    let bad = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "50%"),
        ("OTEL_RESOURCE_ATTRIBUTES", "zone"),
    ];
    let told = problem(&bad);
    for (line, expected) in told.lines().zip([
        "OTEL_EXPORTER_OTLP_PROTOCOL: got \"grpc\", wants http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: got \"collector:4318\", wants a URL that starts with http:// or https://",
        "OTEL_RESOURCE_ATTRIBUTES: got \"zone\", wants attributes such as key=value, separated by commas",
        "OTEL_TRACES_SAMPLER_ARG: got \"50%\", wants a number from 0 to 1",
    ]) {
        assert_eq!(line, expected);
    }
    assert_eq!(told.lines().count(), 4);
    let named = problem(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://me:hunter2@b.example")]);
    assert!(named.contains("names a user or a password") && !named.contains("hunter2"), "{named}");
    assert!(problem(&[("OTEL_TRACES_SAMPLR", "always_on")]).ends_with("did you mean OTEL_TRACES_SAMPLER?"));
}
