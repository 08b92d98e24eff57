//! Families (a name with its labels) and the handles of their series.

use super::cells::{Here, OwnCell, OwnCells, Slots};
use super::text::{Text, label_text};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// A family holds at most so many series, each some hundred bytes.
pub const SERIES_PER_FAMILY_MAX: usize = 16_384;

/// What a family says about itself, whatever its kind.
pub trait Describe: Sync {
    /// The whole name, with its `coredns_`.
    fn name(&self) -> &'static str;
    /// One sentence for the page's `# HELP`.
    fn help(&self) -> &'static str;
    /// The names of the labels, in the order [`CounterFamily::with`] takes their values.
    fn labels(&self) -> &[&'static str];
    /// Counter, gauge or histogram.
    fn kind(&self) -> Kind;
}

/// A family that can be put on the page.
pub(super) trait Family: Describe {
    /// Appends the series, sorted by their labels' values.
    fn write_series(&self, text: &mut Text);
}

/// The kinds of Prometheus's text format that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size, and sums them.
    Histogram,
}

/// Counters that share a name and differ in the values of `N` labels.
pub struct CounterFamily<const N: usize> {
    description: Description<N>,
    series: SeriesMap<N, Counter>,
}

impl<const N: usize> CounterFamily<N> {
    pub(super) const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { description: Description { name, help, labels }, series: SeriesMap::new() }
    }

    /// The counter for these labels, in the order of the family's names; made at zero where it is new. Takes a lock and
    /// may allocate: ask while building, keep the handle.
    pub fn with(&self, values: [&str; N]) -> Counter {
        let make = || Counter { slots: Slots::take(1), shared: Arc::new([AtomicU64::new(0)]) };
        self.series.get_or_insert(values, make)
    }
}

/// Counts up. Cheap to clone; clones count the same series.
#[derive(Clone, Debug)]
pub struct Counter {
    slots: Slots,
    shared: Arc<[AtomicU64; 1]>,
}

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`.
    #[inline]
    pub fn add(&self, count: u64) {
        self.slots.add(&*self.shared, [(0, count)]);
    }

    /// Adds one, on a thread whose cells are looked up already.
    #[inline]
    pub fn inc_here(&self, here: Here) {
        self.slots.add_here(here, &*self.shared, [(0, 1)]);
    }

    /// The cell of the worker that `here` was asked for; `None` where the thread is none, or the process has too many series.
    pub fn own(&self, here: Here) -> Option<OwnCounter> {
        self.slots.own(here, 1)?.first().map(OwnCounter)
    }

    /// The sum over all threads. For scrapes and tests: visits every worker's cell.
    pub fn get(&self) -> u64 {
        self.slots.sum(&*self.shared, 0)
    }
}

/// A counter's cell of one worker: for a worker that counts the same series again and again. It stays the series' for as long as the process
/// lives. To be used by the thread that is the worker: who keeps it asks whether that is so ([`Here`] says who is who).
#[derive(Clone, Copy)]
pub struct OwnCounter(OwnCell);

impl OwnCounter {
    /// Adds one.
    #[inline]
    pub fn inc(self) {
        self.0.add(1);
    }
}

/// Gauges that share a name and differ in the values of `N` labels.
pub struct GaugeFamily<const N: usize> {
    description: Description<N>,
    series: SeriesMap<N, Held>,
    /// How often a gauge was asked for since the family is full.
    full: AtomicU64,
}

/// A gauge's series, and who keeps it in the family.
enum Held {
    Forever(Gauge),
    /// Until the last handle is dropped.
    ByHandles(Weak<AtomicU64>),
}

impl<const N: usize> GaugeFamily<N> {
    pub(super) const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self {
            description: Description { name, help, labels },
            series: SeriesMap::new(),
            full: AtomicU64::new(0),
        }
    }

    /// The gauge for these labels; made at zero where it is new, and shown until the process ends. Takes a lock and may
    /// allocate.
    pub fn with(&self, values: [&str; N]) -> Gauge {
        self.hold(values, |gauge| Held::Forever(gauge.clone()))
    }

    /// The gauge for these labels, shown as long as a handle from here lives, or for good if [`Self::with`] gives it out
    /// too. For what belongs to one configuration: a reload's new instance and the old one share the series while both
    /// live, and a series that only the old one had goes with it.
    #[must_use = "the series vanishes with its last handle"]
    pub fn scoped(&self, values: [&str; N]) -> Gauge {
        self.hold(values, |gauge| Held::ByHandles(Arc::downgrade(&gauge.0)))
    }

    fn hold(&self, values: [&str; N], how: impl FnOnce(&Gauge) -> Held) -> Gauge {
        let mut series = self.series.lock();
        if series.len() < SERIES_PER_FAMILY_MAX {
            self.full.store(0, Ordering::Relaxed);
        } else if self.full.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY) {
            // Not each time: a configuration of more gauges than a family holds asks for every one of them.
            series.retain(|_, held| held.gauge().is_some());
        }
        let key = SeriesMap::key(&series, values);
        // One look: a configuration of many blocks asks for thousands of these.
        match series.entry(key) {
            Entry::Vacant(place) => {
                let gauge = Gauge(Arc::new(AtomicU64::new(0)));
                place.insert(how(&gauge));
                gauge
            }
            Entry::Occupied(mut place) => match place.get() {
                Held::Forever(gauge) => gauge.clone(),
                held @ Held::ByHandles(_) => {
                    let gauge = held.gauge().unwrap_or_else(|| Gauge(Arc::new(AtomicU64::new(0))));
                    place.insert(how(&gauge));
                    gauge
                }
            },
        }
    }
}

impl Held {
    fn gauge(&self) -> Option<Gauge> {
        match self {
            Self::Forever(gauge) => Some(gauge.clone()),
            Self::ByHandles(bits) => bits.upgrade().map(Gauge),
        }
    }
}

/// A value that is set. One cell for all threads, so not for a query's way; set it where things change, or in
/// [`before_scrape`](super::before_scrape). Cheap to clone; clones are the same series.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds to the value; less than zero takes away.
    pub fn add(&self, amount: f64) {
        // The closure always returns Some, so the update never fails.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some((f64::from_bits(bits) + amount).to_bits())
        });
    }

    /// The value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// What a histogram's values are, and what the page shows them as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Observed in nanoseconds, shown in seconds.
    Nanoseconds,
    /// Observed and shown in bytes.
    Bytes,
}

/// Histograms that share a name and buckets and differ in the values of `N` labels.
pub struct HistogramFamily<const N: usize> {
    description: Description<N>,
    unit: Unit,
    bounds: &'static [u64],
    series: SeriesMap<N, Histogram>,
}

impl<const N: usize> HistogramFamily<N> {
    /// `bounds` are the buckets' upper bounds, inclusive and ascending, in what is observed; `+Inf` comes by itself.
    pub(super) const fn new(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        unit: Unit,
        bounds: &'static [u64],
    ) -> Self {
        Self { description: Description { name, help, labels }, unit, bounds, series: SeriesMap::new() }
    }

    /// The histogram for these labels; made empty where it is new. Takes a lock and may allocate: ask while building,
    /// keep the handle.
    pub fn with(&self, values: [&str; N]) -> Histogram {
        // One cell for each bound, one for +Inf, one for the sum.
        let cells = self.bounds.len() + 2;
        let make = || Histogram {
            slots: Slots::take(cells),
            bounds: self.bounds,
            shared: (0..cells).map(|_| AtomicU64::new(0)).collect(),
        };
        self.series.get_or_insert(values, make)
    }

    /// The buckets' upper bounds without `+Inf`, in what is observed.
    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }
}

/// Counts values by size. Cheap to clone; clones count the same series.
#[derive(Clone, Debug)]
pub struct Histogram {
    slots: Slots,
    bounds: &'static [u64],
    shared: Arc<[AtomicU64]>,
}

impl Histogram {
    /// Counts one value, in the family's [`Unit`].
    #[inline]
    pub fn observe(&self, value: u64) {
        self.observe_here(Here::new(), value);
    }

    /// As [`Self::observe`], on a thread whose cells are looked up already.
    #[inline]
    pub fn observe_here(&self, here: Here, value: u64) {
        let bucket = bucket(self.bounds, value);
        self.slots.add_here(here, &self.shared, [(bucket, 1), (self.bounds.len() + 1, value)]);
    }

    /// The cells of the worker that `here` was asked for, as [`Counter::own`] has them.
    pub fn own(&self, here: Here) -> Option<OwnHistogram> {
        self.slots.own(here, self.shared.len()).map(OwnHistogram)
    }

    /// Counts one time span; for families in [`Unit::Nanoseconds`].
    #[inline]
    pub fn observe_duration(&self, span: Duration) {
        self.observe(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many values were counted. For scrapes and tests.
    pub fn count(&self) -> u64 {
        (0..=self.bounds.len()).map(|bucket| self.slots.sum(&self.shared, bucket)).sum()
    }

    /// The sum of all values, in the family's [`Unit`]; wraps as the cells do. For scrapes and tests.
    pub fn sum(&self) -> u64 {
        self.slots.sum(&self.shared, self.bounds.len() + 1)
    }
}

/// A histogram's cells of one worker, as [`OwnCounter`].
#[derive(Clone, Copy)]
pub struct OwnHistogram(OwnCells);

impl OwnHistogram {
    /// Counts one value, in the [`Unit`] of the family, whose bounds these must be: known when this is compiled, they cost less.
    #[inline(always)]
    pub fn observe<const BOUNDS: usize>(self, bounds: &[u64; BOUNDS], value: u64) {
        self.0.add_one_and_sum(bucket(bounds, value), value);
    }
}

/// The place of the first bound that `value` does not exceed. One after the other: nearly all that is counted is small.
#[inline(always)]
fn bucket(bounds: &[u64], value: u64) -> usize {
    bounds.iter().take_while(|bound| value > **bound).count()
}

struct Description<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
}

/// The series of a family by their labels' values.
struct SeriesMap<const N: usize, T>(Mutex<BTreeMap<[Box<str>; N], T>>);

impl<const N: usize, T> SeriesMap<N, T> {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[Box<str>; N], T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key for `values`, or that of the series for all that are too many.
    fn key(series: &BTreeMap<[Box<str>; N], T>, values: [&str; N]) -> [Box<str>; N] {
        let key = values.map(Box::from);
        if series.len() >= SERIES_PER_FAMILY_MAX && !series.contains_key(&key) {
            return [OVERFLOW; N].map(Box::from);
        }
        key
    }

    fn get_or_insert(&self, values: [&str; N], make: impl FnOnce() -> T) -> T
    where
        T: Clone,
    {
        let mut series = self.lock();
        let key = Self::key(&series, values);
        series.entry(key).or_insert_with(make).clone()
    }
}

/// A family without labels is one series, which is shown from the start, as CoreDNS's are.
fn only_series<const N: usize>() -> Option<[&'static str; N]> {
    (N == 0).then_some([""; N])
}

macro_rules! family {
    ($family:ident, $kind:ident, |$self:ident, $text:ident| $write:block) => {
        impl<const N: usize> Describe for $family<N> {
            fn name(&self) -> &'static str {
                self.description.name
            }
            fn help(&self) -> &'static str {
                self.description.help
            }
            fn labels(&self) -> &[&'static str] {
                &self.description.labels
            }
            fn kind(&self) -> Kind {
                Kind::$kind
            }
        }

        impl<const N: usize> Family for $family<N> {
            fn write_series(&$self, $text: &mut Text) {
                if let Some(values) = only_series() {
                    $self.with(values);
                }
                $write
            }
        }
    };
}

family!(CounterFamily, Counter, |self, text| {
    for (values, counter) in self.series.lock().iter() {
        text.sample(self.name(), self.labels(), values, counter.get());
    }
});

family!(GaugeFamily, Gauge, |self, text| {
    self.series.lock().retain(|values, held| {
        let gauge = held.gauge();
        if let Some(gauge) = &gauge {
            text.sample(self.name(), self.labels(), values, gauge.get());
        }
        gauge.is_some()
    });
});

family!(HistogramFamily, Histogram, |self, text| {
    let infinite = std::iter::once("+Inf".to_owned());
    let bounds: Vec<String> =
        self.bounds.iter().map(|bound| self.unit.shown(*bound).to_string()).chain(infinite).collect();
    for (values, histogram) in self.series.lock().iter() {
        let labels = label_text(self.labels(), values);
        let mut cumulated = 0;
        for (bucket, bound) in bounds.iter().enumerate() {
            cumulated += histogram.slots.sum(&histogram.shared, bucket);
            text.line(self.name(), "_bucket", &labels, Some(("le", bound)), cumulated);
        }
        text.line(self.name(), "_sum", &labels, None, self.unit.shown(histogram.sum()));
        text.line(self.name(), "_count", &labels, None, cumulated);
    }
});

impl Unit {
    fn shown(self, observed: u64) -> f64 {
        match self {
            Self::Nanoseconds => observed as f64 / 1e9,
            Self::Bytes => observed as f64,
        }
    }
}

const OVERFLOW: &str = "overflow";
/// A full family looks for gauges that are gone at the first of so many questions.
const SWEEP_EVERY: u64 = 1024;
