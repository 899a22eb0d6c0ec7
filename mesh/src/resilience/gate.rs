//! How much may be under way at once to a service, and who waits for a place.
//!
//! Places are given in the order in which requests came. A project that has its share already waits by itself: its
//! next request is passed over, not stood behind, by those of other projects. One project can take neither all
//! places nor the whole queue, so that its slow database is not everybody's.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::observe::Reason;
use crate::resource::Concurrency;

/// Bounds the requests to one service. Clones bound them together.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Inner>);

/// The right to have one request under way. It ends when this is dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub(crate) struct Place {
    gate: Arc<Inner>,
    bucket: usize,
}

#[derive(Debug)]
struct Inner {
    requests: usize,
    pending: usize,
    wait: Duration,
    /// Requests and pending of one project. `None` if a project may have everything: nothing is counted by project.
    share: Option<(usize, usize)>,
    state: Mutex<State>,
}

/// Between two calls one of these holds: no place is free, or nobody waits who may have one.
#[derive(Debug)]
struct State {
    running: usize,
    waiting: usize,
    next_ticket: u64,
    buckets: Vec<Bucket>,
    by_project: HashMap<Arc<str>, usize>,
    /// Buckets that nobody uses.
    unused: Vec<usize>,
    /// The first ticket of each bucket that has somebody waiting and is below its share → that bucket.
    heads: BTreeMap<u64, usize>,
}

/// What one project, or everybody without one, has.
#[derive(Debug, Default)]
struct Bucket {
    project: Option<Arc<str>>,
    running: usize,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// The bucket of requests without a project: it has no share limit and always exists.
const ANONYMOUS: usize = 0;

impl Gate {
    /// A gate as `spec` has it. One project's share is rounded down, and never less than one.
    pub(crate) fn new(spec: &Concurrency) -> Gate {
        let share = |of: usize| ((of as f64 * spec.project_share) as usize).max(1);
        let state = State {
            running: 0,
            waiting: 0,
            next_ticket: 0,
            buckets: vec![Bucket::default()],
            by_project: HashMap::new(),
            unused: Vec::new(),
            heads: BTreeMap::new(),
        };
        Gate(Arc::new(Inner {
            requests: spec.requests,
            pending: spec.pending,
            wait: spec.wait,
            share: (spec.project_share < 1.0).then(|| (share(spec.requests), share(spec.pending))),
            state: Mutex::new(state),
        }))
    }

    /// Takes a place if one is free for `project` now. O(1): nobody who waits could have had it.
    pub(crate) fn try_enter(&self, project: Option<&str>) -> Option<Place> {
        let mut state = self.0.state();
        let bucket = self.0.bucket(&mut state, project);
        let place = self.0.take(&mut state, bucket);
        state.forget_if_unused(bucket);
        place
    }

    /// Takes a place, and waits for it no longer than the gate's longest wait and `until`. O(log waiting).
    ///
    /// Errors: [`Reason::Full`] if too many wait already, [`Reason::ProjectShare`] if too many of this project do or
    /// it had its share all the time, [`Reason::Wait`] if no place came free in time.
    pub(crate) async fn enter(&self, project: Option<&str>, until: Instant) -> Result<Place, Reason> {
        let (waiter, granted) = match self.begin(project)? {
            Begun::Entered(place) => return Ok(place),
            Begun::Queued(waiter, granted) => (waiter, granted),
        };
        let longest = Instant::now().checked_add(self.0.wait);
        match timeout_at(longest.map_or(until, |longest| longest.min(until)), granted).await {
            Ok(_) => Ok(waiter.claim()),
            Err(_) => waiter.give_up(),
        }
    }

    /// Requests under way, and requests that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.0.state();
        (state.running, state.waiting)
    }

    fn begin(&self, project: Option<&str>) -> Result<Begun, Reason> {
        let mut state = self.0.state();
        let index = self.0.bucket(&mut state, project);
        if let Some(place) = self.0.take(&mut state, index) {
            return Ok(Begun::Entered(place));
        }
        if let Some(reason) = self.0.refusal(&state, index) {
            state.forget_if_unused(index);
            return Err(reason);
        }
        let (sender, granted) = oneshot::channel();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting += 1;
        state.buckets[index].waiting.insert(ticket, sender);
        self.0.offer(&mut state, index);
        Ok(Begun::Queued(Waiter { gate: Some(self.0.clone()), bucket: index, ticket }, granted))
    }
}

enum Begun {
    Entered(Place),
    Queued(Waiter, oneshot::Receiver<()>),
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// The bucket of `project`, made if it is new.
    fn bucket(&self, state: &mut State, project: Option<&str>) -> usize {
        let Some(project) = project.filter(|_| self.share.is_some()) else { return ANONYMOUS };
        if let Some(index) = state.by_project.get(project) {
            return *index;
        }
        let index = state.unused.pop().unwrap_or_else(|| {
            state.buckets.push(Bucket::default());
            state.buckets.len() - 1
        });
        let project: Arc<str> = project.into();
        state.buckets[index].project = Some(project.clone());
        state.by_project.insert(project, index);
        index
    }

    fn take(self: &Arc<Inner>, state: &mut State, index: usize) -> Option<Place> {
        if state.running >= self.requests || self.at_share(state, index) {
            return None;
        }
        state.running += 1;
        state.buckets[index].running += 1;
        Some(Place { gate: self.clone(), bucket: index })
    }

    /// Whether a bucket has as many requests under way as one project may have.
    fn at_share(&self, state: &State, index: usize) -> bool {
        let share = self.share.filter(|_| index != ANONYMOUS);
        share.is_some_and(|(running, _)| state.buckets[index].running >= running)
    }

    /// Why a request of a bucket may not even wait.
    fn refusal(&self, state: &State, index: usize) -> Option<Reason> {
        let share = self.share.filter(|_| index != ANONYMOUS);
        if share.is_some_and(|(_, pending)| state.buckets[index].waiting.len() >= pending) {
            return Some(Reason::ProjectShare);
        }
        let full = state.waiting >= self.pending;
        full.then_some(if self.at_share(state, index) { Reason::ProjectShare } else { Reason::Full })
    }

    /// Lets the first that waits in a bucket take part in what comes free, if the bucket is below its share.
    fn offer(&self, state: &mut State, index: usize) {
        if self.at_share(state, index) {
            return;
        }
        if let Some((ticket, _)) = state.buckets[index].waiting.first_key_value() {
            state.heads.insert(*ticket, index);
        }
    }

    /// Gives the place that just came free to whoever waits longest of those who may have it.
    fn grant(&self, state: &mut State) -> Option<oneshot::Sender<()>> {
        let (ticket, index) = state.heads.pop_first()?;
        let granted = state.buckets[index].waiting.remove(&ticket);
        state.waiting -= 1;
        state.running += 1;
        state.buckets[index].running += 1;
        self.offer(state, index);
        granted
    }

    /// Takes one request under way off a bucket, and wakes whoever gets its place.
    fn leave(&self, index: usize) {
        let mut state = self.state();
        state.running -= 1;
        state.buckets[index].running -= 1;
        self.offer(&mut state, index);
        let granted = self.grant(&mut state);
        state.forget_if_unused(index);
        drop(state);
        if let Some(granted) = granted {
            // its waiter may be gone by now: then it gives the place back itself
            let _ = granted.send(());
        }
    }
}

impl State {
    fn forget_if_unused(&mut self, index: usize) {
        let bucket = &mut self.buckets[index];
        if bucket.running > 0 || !bucket.waiting.is_empty() {
            return;
        }
        if let Some(project) = bucket.project.take() {
            self.by_project.remove(&project);
            self.unused.push(index);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.leave(self.bucket);
    }
}

/// A request that waits. Dropped, it leaves the queue, or gives back the place that it was given meanwhile.
struct Waiter {
    /// `None` once it is settled.
    gate: Option<Arc<Inner>>,
    bucket: usize,
    ticket: u64,
}

impl Waiter {
    /// Turns a granted wait into its place.
    fn claim(mut self) -> Place {
        let gate = self.gate.take().expect("a waiter is settled once");
        Place { gate, bucket: self.bucket }
    }

    /// Leaves the queue; the place, if one came at the last moment.
    fn give_up(mut self) -> Result<Place, Reason> {
        let gate = self.gate.take().expect("a waiter is settled once");
        match self.withdraw(&gate) {
            Some(reason) => Err(reason),
            None => Ok(Place { gate, bucket: self.bucket }),
        }
    }

    /// Leaves the queue and says what it waited for; `None` if it is not there any more: it has a place.
    fn withdraw(&self, gate: &Inner) -> Option<Reason> {
        let mut state = gate.state();
        state.buckets[self.bucket].waiting.remove(&self.ticket)?;
        state.waiting -= 1;
        if state.heads.remove(&self.ticket).is_some() {
            gate.offer(&mut state, self.bucket);
        }
        let at_share = gate.at_share(&state, self.bucket);
        state.forget_if_unused(self.bucket);
        Some(if at_share { Reason::ProjectShare } else { Reason::Wait })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take()
            && self.withdraw(&gate).is_none()
        {
            gate.leave(self.bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;

    const WAIT: Duration = Duration::from_secs(3);

    fn gate(requests: usize, pending: usize, project_share: f64) -> Gate {
        Gate::new(&Concurrency { requests, pending, project_share, wait: WAIT, ..Concurrency::default() })
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_place_is_taken_without_waiting() {
        let gate = gate(1, 0, 1.0);

        let place = poll(pin!(gate.enter(None, Instant::now())));

        assert!(matches!(place, Poll::Ready(Ok(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_given_in_the_order_of_arrival() {
        let gate = gate(1, 3, 1.0);
        let first = gate.try_enter(None).unwrap();
        let mut second = Box::pin(gate.enter(None, far()));
        let mut third = Box::pin(gate.enter(None, far()));
        assert!(poll(second.as_mut()).is_pending());
        assert!(poll(third.as_mut()).is_pending());

        drop(first);

        assert!(gate.try_enter(None).is_none(), "the place belongs to whoever waited");
        assert!(poll(third.as_mut()).is_pending());
        let place = second.await.unwrap();
        drop(place);
        assert!(third.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_order_of_arrival_holds_between_projects() {
        let gate = gate(2, 6, 0.5);
        let places = [gate.try_enter(Some("x")).unwrap(), gate.try_enter(Some("y")).unwrap()];
        let mut waiting = ["b", "a", "c"].map(|project| Box::pin(gate.enter(Some(project), far())));
        for waiting in &mut waiting {
            assert!(poll(waiting.as_mut()).is_pending());
        }

        drop(places);

        let [b, a, c] = &mut waiting;
        assert!(poll(c.as_mut()).is_pending());
        assert!(poll(b.as_mut()).is_ready() && poll(a.as_mut()).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once() {
        let gate = gate(1, 1, 1.0);
        let _place = gate.try_enter(None).unwrap();
        let mut waiting = Box::pin(gate.enter(None, far()));
        assert!(poll(waiting.as_mut()).is_pending());

        assert_eq!(gate.enter(None, far()).await.unwrap_err(), Reason::Full);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_at_the_longest_wait_or_the_deadline() {
        let gate = gate(1, 1, 1.0);
        let _place = gate.try_enter(None).unwrap();

        let started = Instant::now();
        assert_eq!(gate.enter(None, far()).await.unwrap_err(), Reason::Wait);
        assert_eq!(started.elapsed(), WAIT);

        let started = Instant::now();
        assert_eq!(gate.enter(None, started + WAIT / 3).await.unwrap_err(), Reason::Wait);
        assert_eq!(started.elapsed(), WAIT / 3);
        assert_eq!(gate.load(), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_at_its_share_does_not_block_those_behind_it() {
        let gate = gate(2, 4, 0.5);
        let a = gate.try_enter(Some("a")).unwrap();
        let mut waiting_a = Box::pin(gate.enter(Some("a"), far()));
        assert!(poll(waiting_a.as_mut()).is_pending());

        let b = gate.try_enter(Some("b"));
        assert!(b.is_some(), "a place is free and b is below its share");
        drop(b);
        assert!(poll(waiting_a.as_mut()).is_pending(), "the place of b is beyond the share of a");

        drop(a);
        assert!(waiting_a.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_has_at_most_its_share_of_the_queue() {
        let gate = gate(2, 4, 0.5);
        let _a = gate.try_enter(Some("a")).unwrap();
        let mut waiting = [Box::pin(gate.enter(Some("a"), far())), Box::pin(gate.enter(Some("a"), far()))];
        for waiting in &mut waiting {
            assert!(poll(waiting.as_mut()).is_pending());
        }

        assert_eq!(gate.enter(Some("a"), far()).await.unwrap_err(), Reason::ProjectShare);
        assert!(gate.try_enter(Some("b")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_in_vain_at_the_share_is_told_from_one_for_want_of_places() {
        let gate = gate(2, 4, 0.5);
        let _a = gate.try_enter(Some("a")).unwrap();
        assert_eq!(gate.enter(Some("a"), far()).await.unwrap_err(), Reason::ProjectShare);

        let _b = gate.try_enter(Some("b")).unwrap();
        assert_eq!(gate.enter(Some("c"), far()).await.unwrap_err(), Reason::Wait);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_without_a_project_have_no_share_limit() {
        let gate = gate(2, 0, 0.5);

        let places = [gate.try_enter(None), gate.try_enter(None)];

        assert!(places.iter().all(Option::is_some));
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_share_is_still_one() {
        let gate = gate(10, 10, 0.01);

        let place = gate.try_enter(Some("a"));

        assert!(place.is_some());
        assert!(gate.try_enter(Some("a")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_granted_to_a_dropped_wait_goes_to_the_next() {
        let gate = gate(1, 2, 1.0);
        let place = gate.try_enter(None).unwrap();
        let mut second = Box::pin(gate.enter(None, far()));
        let mut third = Box::pin(gate.enter(None, far()));
        assert!(poll(second.as_mut()).is_pending());
        assert!(poll(third.as_mut()).is_pending());

        drop(place);
        drop(second);

        assert!(third.await.is_ok());
        assert_eq!(gate.load(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn projects_that_left_are_forgotten() {
        let gate = gate(4, 4, 0.5);

        for project in ["a", "b", "c"] {
            let _all = [gate.try_enter(None), gate.try_enter(Some(project))];
            assert!(gate.try_enter(Some("refused")).is_some());
        }
        let full: Vec<_> = (0..4).map_while(|_| gate.try_enter(None)).collect();
        assert!(gate.try_enter(Some("refused")).is_none());
        drop(full);

        let state = gate.0.state();
        assert!(state.by_project.is_empty());
        assert_eq!(state.buckets.len(), 3, "the anonymous one, and two used again and again");
    }

    #[tokio::test]
    async fn nobody_is_forgotten_under_contention() {
        let gate = Arc::new(gate(3, 1000, 0.5));
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let gate = gate.clone();
                tokio::spawn(async move {
                    let project = ["a", "b", "c"][n % 3];
                    let place = gate.enter(Some(project), far()).await;
                    tokio::task::yield_now().await;
                    place.is_ok()
                })
            })
            .collect();

        for task in tasks {
            assert!(task.await.unwrap());
        }
        assert_eq!(gate.load(), (0, 0));
    }

    type Entering<'a> = Pin<Box<dyn Future<Output = Result<Place, Reason>> + 'a>>;

    /// What a caller may do to a gate.
    #[derive(Clone, Debug)]
    enum Step {
        Enter(Option<&'static str>),
        Leave(usize),
        Cancel(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let project = prop::sample::select(vec![None, Some("a"), Some("b"), Some("c")]);
        prop::collection::vec(
            prop_oneof![
                3 => project.prop_map(Step::Enter),
                2 => any::<usize>().prop_map(Step::Leave),
                1 => any::<usize>().prop_map(Step::Cancel),
            ],
            0..80,
        )
    }

    proptest! {
        #[test]
        fn bounds_hold_and_no_place_stays_free_for_one_who_may_have_it(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let gate = gate(4, 6, 0.5);
                let mut places = Vec::new();
                let mut waiting: Vec<Entering<'_>> = Vec::new();
                for step in steps {
                    match step {
                        Step::Enter(project) => waiting.push(Box::pin(gate.enter(project, far()))),
                        Step::Leave(n) if !places.is_empty() => drop(places.swap_remove(n % places.len())),
                        Step::Cancel(n) if !waiting.is_empty() => drop(waiting.remove(n % waiting.len())),
                        _ => {}
                    }
                    waiting.retain_mut(|waiter| match poll(waiter.as_mut()) {
                        Poll::Ready(entered) => { places.extend(entered); false }
                        Poll::Pending => true,
                    });
                    let state = gate.0.state();
                    prop_assert_eq!((state.running, state.waiting), (places.len(), waiting.len()));
                    prop_assert!(state.running <= 4 && state.waiting <= 6);
                    for (index, bucket) in state.buckets.iter().enumerate() {
                        let may_more = index == ANONYMOUS || bucket.running < 2;
                        prop_assert!(index == ANONYMOUS || (bucket.running <= 2 && bucket.waiting.len() <= 3));
                        prop_assert!(state.running == 4 || !may_more || bucket.waiting.is_empty());
                    }
                }
                drop((places, waiting));
                prop_assert_eq!(gate.load(), (0, 0));
                Ok(())
            })?;
        }
    }
}
