//! Every decision of the mesh as an event, and the places they go to. No stage logs or counts by itself.

pub mod access;
mod event;
mod json;
mod log;
pub mod metrics;
pub mod otlp;
pub(crate) mod recording;
#[cfg(test)]
pub(crate) mod sample;
pub mod tap;
pub mod trace;

use std::sync::Arc;

pub use event::{Event, Exchange, FallbackKind, Name, Reason, Side};
pub use json::to_json;
pub use log::log;

/// Takes events. Called on the request's path: it must not block.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event) + Send + Sync>);

impl Observer {
    /// An observer that calls `sink` for each event.
    pub fn new(sink: impl Fn(&Event) + Send + Sync + 'static) -> Observer {
        Observer(Arc::new(sink))
    }

    /// Forgets every event.
    pub fn none() -> Observer {
        Observer::new(|_| {})
    }

    /// Hands each event to all of `observers`, in order.
    pub fn all(observers: Vec<Observer>) -> Observer {
        Observer::new(move |event| observers.iter().for_each(|observer| observer.observe(event)))
    }

    /// Hands over one event.
    pub fn observe(&self, event: &Event) {
        (self.0)(event);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_observer_gets_every_event_in_order() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let observer = |label: &'static str| {
            let seen = Arc::clone(&seen);
            Observer::new(move |event| seen.lock().unwrap().push((label, event.name())))
        };

        let all = Observer::all(vec![observer("a"), observer("b")]);
        all.observe(&Event::Mirrored { destination: "data".into() });

        assert_eq!(*seen.lock().unwrap(), [("a", "mirrored"), ("b", "mirrored")]);
    }
}
