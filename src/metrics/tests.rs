//! What is recorded is read.

use std::time::Duration;

use crate::metrics::{Answer, EventIn, Exposition, FoundBy, Label, Metrics, Operation};

fn line(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn what_is_recorded_is_read() {
    let metrics = Metrics::new();
    let exposition = Exposition::new(metrics.clone());
    exposition.look_at(|metrics| metrics.connections.set(7));
    metrics.events_in.inc((EventIn::Offer, Answer::E102));
    metrics.ring_timer_lateness.observe(FoundBy::Sweep, Duration::from_millis(30));
    let text = exposition.text();
    for (series, value) in [
        ("switchboard_connections", 7.0),
        ("switchboard_events_in_total{event=\"sdp_offer\",result=\"E102\"}", 1.0),
        ("switchboard_ring_timer_lateness_seconds_bucket{source=\"sweep\",le=\"0.025\"}", 0.0),
        ("switchboard_ring_timer_lateness_seconds_bucket{source=\"sweep\",le=\"0.05\"}", 1.0),
        ("switchboard_ring_timer_lateness_seconds_count{source=\"event\"}", 0.0),
        (concat!("switchboard_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    ] {
        assert_eq!(line(&text, series), Some(value), "{series} in\n{text}");
    }
    assert!(!text.contains("event=\"sdp_offer\",result=\"E101\""), "a series that says nothing is not there");
}

#[test]
fn a_total_that_is_kept_elsewhere_is_counted_once() {
    let metrics = Metrics::new();
    let exposition = Exposition::new(metrics);
    exposition.look_at(|metrics| metrics.pushes.raise_to(&["fcm", "ring", "sent"], 5));
    let series = "switchboard_pushes_total{kind=\"ring\",outcome=\"sent\",provider=\"fcm\"}";
    for _ in 0..3 {
        assert_eq!(line(&exposition.text(), series), Some(5.0));
    }
}

#[test]
fn names_and_help_texts_are_as_they_should_be() {
    let metrics = Metrics::new();
    for entry in &metrics.book.entries {
        let name = entry.name;
        assert!(name.starts_with("switchboard_"), "{name}");
        assert_eq!(entry.kind == "counter", name.ends_with("_total"), "{name}");
        // What is measured once is a histogram; a gauge may say how old something is, or a moment.
        assert!(entry.kind != "histogram" || name.ends_with("_seconds"), "{name}");
        assert!(entry.kind != "gauge" || !name.ends_with("_seconds") || entry.help.contains("seconds"), "{name}");
        assert!(
            entry.help.ends_with('.') && entry.help.len() > 20 && !entry.help.contains('|'),
            "{name}: {}",
            entry.help
        );
        assert!(entry.buckets.windows(2).all(|two| two[0] < two[1]), "{name}");
    }
}

#[test]
fn each_value_of_a_label_has_its_place() {
    let places: Vec<usize> = <(EventIn, Answer)>::all().into_iter().map(Label::index).collect();
    assert_eq!(places, (0..<(EventIn, Answer)>::COUNT).collect::<Vec<_>>());
    for operation in Operation::all() {
        assert_eq!(Operation::of(operation.words()[0]), Some(operation));
    }
    assert_eq!(Operation::of("dance"), None);
}
