//! The kinds of metrics. A series is looked up by its place, and made when it is first wanted.

use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::clock::Stopwatch;
use crate::metrics::labels::Label;
use crate::metrics::registry::{Book, Entry, labels_of};

/// Names, help texts and labels are written in this room: a bad one fails the first test there is.
const SOUND: &str = "the metrics of this room are sound";

/// What can be a field of the metrics.
pub(super) trait Metric {
    /// What it wants to be told beside its name and help text.
    type Spec;

    /// Makes it, and enters it into `book`.
    fn enter(book: &mut Book, name: &'static str, help: &str, spec: Self::Spec) -> Self;
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help)
}

fn entry(name: &'static str, help: &str, kind: &'static str) -> Entry {
    Entry { name, help: help.to_owned(), kind, labels: Vec::new(), buckets: &[] }
}

/// Counts.
#[derive(Clone)]
pub struct Counter(IntCounter);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// So many more.
    pub fn add(&self, count: usize) {
        self.0.inc_by(count as u64);
    }

    /// The count.
    pub fn value(&self) -> u64 {
        self.0.get()
    }
}

impl Metric for Counter {
    type Spec = ();

    fn enter(book: &mut Book, name: &'static str, help: &str, (): ()) -> Self {
        let counter = IntCounter::with_opts(opts(name, help)).expect(SOUND);
        book.add(entry(name, help, "counter"), counter.clone());
        Self(counter)
    }
}

/// Makes the series with these words.
type Make<T> = Box<dyn Fn(&[&str]) -> T + Send + Sync>;

/// The series of a closed set of labels, by their places.
struct Series<L, T> {
    cells: Box<[OnceLock<T>]>,
    make: Make<T>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, T> Series<L, T> {
    fn new(make: impl Fn(&[&str]) -> T + Send + Sync + 'static) -> Self {
        let cells = (0..L::COUNT).map(|_| OnceLock::new()).collect();
        let series = Self { cells, make: Box::new(make), label: PhantomData };
        if L::FROM_THE_START {
            for label in L::all() {
                series.of(label);
            }
        }
        series
    }

    fn of(&self, label: L) -> &T {
        self.cells[label.index()].get_or_init(|| (self.make)(&label.words()))
    }
}

/// Counts, by label.
pub struct Counters<L>(Series<L, IntCounter>);

impl<L: Label> Counters<L> {
    /// One more.
    pub fn inc(&self, label: L) {
        self.0.of(label).inc();
    }

    /// Raises the count to one that is kept elsewhere and never falls. Called by one at a time.
    pub fn raise_to(&self, label: L, total: u64) {
        raise(self.0.of(label), total);
    }

    /// The count.
    pub fn value(&self, label: L) -> u64 {
        self.0.of(label).get()
    }
}

fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

impl<L: Label> Metric for Counters<L> {
    type Spec = ();

    fn enter(book: &mut Book, name: &'static str, help: &str, (): ()) -> Self {
        let vec = IntCounterVec::new(opts(name, help), &L::names()).expect(SOUND);
        book.add(Entry { labels: labels_of::<L>(), ..entry(name, help, "counter") }, vec.clone());
        Self(Series::new(move |words| vec.with_label_values(words)))
    }
}

/// Counts that others keep, under names that are theirs.
pub struct Tallies(IntCounterVec);

impl Tallies {
    /// Raises a count to one that is kept elsewhere and never falls. Called by one at a time.
    pub fn raise_to(&self, words: &[&'static str], total: u64) {
        raise(&self.0.with_label_values(words), total);
    }
}

impl Metric for Tallies {
    type Spec = &'static [&'static str];

    fn enter(book: &mut Book, name: &'static str, help: &str, labels: Self::Spec) -> Self {
        let vec = IntCounterVec::new(opts(name, help), labels).expect(SOUND);
        let named = labels.iter().map(|label| (*label, Vec::new())).collect();
        book.add(Entry { labels: named, ..entry(name, help, "counter") }, vec.clone());
        Self(vec)
    }
}

/// How much there is.
pub struct Gauge(IntGauge);

impl Gauge {
    /// So much.
    pub fn set(&self, value: usize) {
        self.0.set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// One or nothing.
    pub fn set_flag(&self, is_so: bool) {
        self.0.set(i64::from(is_so));
    }
}

impl Metric for Gauge {
    type Spec = ();

    fn enter(book: &mut Book, name: &'static str, help: &str, (): ()) -> Self {
        let gauge = IntGauge::with_opts(opts(name, help)).expect(SOUND);
        book.add(entry(name, help, "gauge"), gauge.clone());
        Self(gauge)
    }
}

/// How much there is, by label.
pub struct Gauges<L>(Series<L, IntGauge>);

impl<L: Label> Gauges<L> {
    /// So much.
    pub fn set(&self, label: L, value: usize) {
        self.0.of(label).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
}

impl<L: Label> Metric for Gauges<L> {
    type Spec = ();

    fn enter(book: &mut Book, name: &'static str, help: &str, (): ()) -> Self {
        let vec = IntGaugeVec::new(opts(name, help), &L::names()).expect(SOUND);
        book.add(Entry { labels: labels_of::<L>(), ..entry(name, help, "gauge") }, vec.clone());
        Self(Series::new(move |words| vec.with_label_values(words)))
    }
}

/// Says something by its labels; its value is 1.
pub struct Info(IntGaugeVec);

impl Info {
    /// Says it.
    pub fn say(&self, words: &[&str]) {
        self.0.with_label_values(words).set(1);
    }
}

impl Metric for Info {
    type Spec = &'static [&'static str];

    fn enter(book: &mut Book, name: &'static str, help: &str, labels: Self::Spec) -> Self {
        let vec = IntGaugeVec::new(opts(name, help), labels).expect(SOUND);
        let named = labels.iter().map(|label| (*label, Vec::new())).collect();
        book.add(Entry { labels: named, ..entry(name, help, "gauge") }, vec.clone());
        Self(vec)
    }
}

/// How long things take.
pub struct Histogram(prometheus::Histogram);

impl Histogram {
    /// It took so long.
    pub fn observe(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
    }

    /// Measures how long `work` takes that succeeds; one that fails is over sooner, or later, than it would have been.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn time<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let stopwatch = Stopwatch::start();
        let done = work.await?;
        self.observe(stopwatch.elapsed());
        Ok(done)
    }

    /// How many things were measured.
    pub fn count(&self) -> u64 {
        self.0.get_sample_count()
    }
}

impl Metric for Histogram {
    type Spec = &'static [f64];

    fn enter(book: &mut Book, name: &'static str, help: &str, buckets: Self::Spec) -> Self {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let histogram = prometheus::Histogram::with_opts(opts).expect(SOUND);
        book.add(Entry { buckets, ..entry(name, help, "histogram") }, histogram.clone());
        Self(histogram)
    }
}

/// How long things take, by label.
pub struct Histograms<L>(Series<L, Histogram>);

impl<L: Label> Histograms<L> {
    /// It took so long.
    pub fn observe(&self, label: L, duration: Duration) {
        self.0.of(label).observe(duration);
    }

    /// How many things were measured.
    pub fn count(&self, label: L) -> u64 {
        self.0.of(label).count()
    }
}

impl<L: Label> Metric for Histograms<L> {
    type Spec = &'static [f64];

    fn enter(book: &mut Book, name: &'static str, help: &str, buckets: Self::Spec) -> Self {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let vec = HistogramVec::new(opts, &L::names()).expect(SOUND);
        book.add(Entry { labels: labels_of::<L>(), buckets, ..entry(name, help, "histogram") }, vec.clone());
        Self(Series::new(move |words| Histogram(vec.with_label_values(words))))
    }
}
