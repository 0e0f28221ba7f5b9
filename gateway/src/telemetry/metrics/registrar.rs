//! Makes metrics and registers them, and for tests keeps what was said of each.

#[cfg(test)]
use std::cell::RefCell;
use std::collections::BTreeMap;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
    core::Collector as _,
};

/// Before each name.
const PREFIX: &str = "acme_gateway";
/// From what a disk does at once to what a certificate authority takes on a bad day.
const SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// A registry under construction.
pub(super) struct Registrar {
    registry: Registry,
    #[cfg(test)]
    described: RefCell<Vec<Description>>,
}

/// What is said of one metric.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) labels: Vec<String>,
    pub(super) help: String,
}

/// How far each of these counters with one label is, by its value.
pub(super) fn by_label(counters: &IntCounterVec) -> BTreeMap<String, u64> {
    let families = counters.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    let value = |metric: &prometheus::proto::Metric| {
        let label = metric.get_label().first().map(|pair| pair.value().to_owned())?;
        Some((label.clone(), counters.get_metric_with_label_values(&[label.as_str()]).ok()?.get()))
    };
    metrics.filter_map(value).collect()
}

impl Registrar {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            registry: Registry::new_custom(Some(PREFIX.to_owned()), None)?,
            #[cfg(test)]
            described: RefCell::default(),
        })
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.describe("counter", name, help, &[]);
        let counter = IntCounter::new(name, help)?;
        self.registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.describe("counter", name, help, labels);
        let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.describe("gauge", name, help, &[]);
        let gauge = IntGauge::new(name, help)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.describe("gauge", name, help, labels);
        let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    pub(super) fn seconds(&self, name: &str, help: &str) -> Result<Histogram> {
        self.describe("histogram", name, help, &[]);
        let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?;
        self.registry.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    }

    pub(super) fn seconds_by(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec> {
        self.describe("histogram", name, help, labels);
        let histograms = HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)?;
        self.registry.register(Box::new(histograms.clone()))?;
        Ok(histograms)
    }

    /// The registry with all of them.
    pub(super) fn registry(self) -> Registry {
        self.registry
    }

    #[cfg(test)]
    pub(super) fn described(&self) -> Vec<Description> {
        let mut described = self.described.borrow().clone();
        described.sort();
        described
    }

    #[cfg(test)]
    fn describe(&self, kind: &'static str, name: &str, help: &str, labels: &[&str]) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let name = format!("{PREFIX}_{name}");
        self.described.borrow_mut().push(Description { name, kind, labels, help: help.to_owned() });
    }

    #[cfg(not(test))]
    const fn describe(&self, _: &'static str, _: &str, _: &str, _: &[&str]) {}
}
