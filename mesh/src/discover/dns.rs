//! Discovery by DNS: a name that is looked up again and again.

use std::cmp::Reverse;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use hickory_resolver::config::{LookupIpStrategy, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::{ResolverBuilder, TokioResolver};

use super::{Address, Found, MAX_ENDPOINTS, Resolve};
use crate::balance::Dice;
use crate::resource::DnsRecord;

/// Shortest time between two look-ups, whatever a record's time to live.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// Look-ups of the targets of one SRV answer at a time.
const PARALLEL: usize = 8;

/// One name, looked up whenever its records expire or `refresh` has passed.
#[derive(Clone)]
pub(crate) struct Dns {
    resolver: TokioResolver,
    question: Arc<Question>,
    refresh: Duration,
    dice: Arc<Dice>,
}

struct Question {
    name: String,
    port: u16,
    record: DnsRecord,
}

/// What a look-up told: endpoints, and for how long.
struct Answer {
    found: Vec<Found>,
    ttl: Duration,
}

impl Dns {
    /// Asks as the system is configured: its name servers, its search domains, its hosts file as they are now.
    ///
    /// `port` is for host records; SRV records bring their own. The error says what of the system's configuration
    /// cannot be read.
    pub(crate) fn new(
        name: &str,
        port: u16,
        record: DnsRecord,
        refresh: Duration,
        seed: u64,
    ) -> Result<Dns, String> {
        let builder = TokioResolver::builder_tokio()
            .map_err(|error| format!("cannot read the system's DNS configuration: {error}"))?;
        Dns::build(builder, Question { name: name.to_owned(), port, record }, refresh, seed)
    }

    /// Asks one name server, after the system's hosts file; no search domains.
    #[cfg(test)]
    pub(crate) fn with_nameserver(
        nameserver: std::net::SocketAddr,
        name: &str,
        port: u16,
        record: DnsRecord,
        refresh: Duration,
        seed: u64,
    ) -> Result<Dns, String> {
        use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
        let mut server = NameServerConfig::new(
            nameserver.ip(),
            true,
            vec![ConnectionConfig::udp(), ConnectionConfig::tcp()],
        );
        for connection in &mut server.connections {
            connection.port = nameserver.port();
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Dns::build(builder, Question { name: name.to_owned(), port, record }, refresh, seed)
    }

    fn build(
        mut builder: ResolverBuilder<TokioRuntimeProvider>,
        question: Question,
        refresh: Duration,
        seed: u64,
    ) -> Result<Dns, String> {
        own_options(builder.options_mut());
        let resolver = builder.build().map_err(|error| format!("cannot make a DNS resolver: {error}"))?;
        Ok(Dns { resolver, question: Arc::new(question), refresh, dice: Arc::new(Dice::new(seed)) })
    }
}

/// The look-ups are paced here, so nothing is cached. IPv6 addresses are asked for only if there are no IPv4 ones: both
/// of a dual-stack host would count as two endpoints.
fn own_options(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
}

impl Resolve for Dns {
    fn watch(&self, _service: &str) -> BoxStream<'static, Result<Vec<Found>, String>> {
        let (resolver, question) = (self.resolver.clone(), self.question.clone());
        let ask = move || {
            let (resolver, question) = (resolver.clone(), question.clone());
            async move { question.ask(&resolver).await }
        };
        repeated(ask, self.refresh, self.dice.clone())
    }
}

/// `ask` again and again, each time after the pause that the answer allows.
fn repeated<F>(
    ask: impl Fn() -> F + Send + 'static,
    refresh: Duration,
    dice: Arc<Dice>,
) -> BoxStream<'static, Result<Vec<Found>, String>>
where
    F: Future<Output = Result<Answer, String>> + Send + 'static,
{
    stream::unfold((Duration::ZERO, ask), move |(pause, ask)| {
        let dice = dice.clone();
        async move {
            tokio::time::sleep(pause).await;
            let answer = ask().await;
            let ttl = answer.as_ref().map_or(Duration::MAX, |answer| answer.ttl);
            Some((answer.map(|answer| answer.found), (pause_after(ttl, refresh, dice.unit()), ask)))
        }
    })
    .boxed()
}

/// How long to wait after an answer: its time to live or `refresh`, whichever is shorter, less up to a fifth, so that
/// proxies that began together do not ask together.
fn pause_after(ttl: Duration, refresh: Duration, unit: f64) -> Duration {
    ttl.min(refresh).mul_f64(1.0 - 0.2 * unit).max(MIN_PAUSE)
}

impl Question {
    async fn ask(&self, resolver: &TokioResolver) -> Result<Answer, String> {
        let answer = match self.record {
            DnsRecord::Host => hosts(resolver, &self.name, self.port).await,
            DnsRecord::Srv => services(resolver, &self.name).await,
        };
        answer.map_err(|error| format!("looking up `{}`: {error}", self.name))
    }
}

/// The addresses of `name`.
async fn hosts(resolver: &TokioResolver, name: &str, port: u16) -> Result<Answer, NetError> {
    let (addresses, ttl) = addresses(resolver, name).await?;
    let found = addresses.into_iter().map(|ip| Found::at(Address::Tcp((ip, port).into()))).collect();
    Ok(Answer { found, ttl })
}

async fn addresses(resolver: &TokioResolver, name: &str) -> Result<(Vec<IpAddr>, Duration), NetError> {
    let lookup = resolver.lookup_ip(name).await?;
    Ok((lookup.iter().take(MAX_ENDPOINTS).collect(), ttl(lookup.as_lookup().answers())))
}

/// The SRV records of `name` with the addresses of their targets (RFC 2782). Targets that cannot be looked up are left
/// out unless all are.
async fn services(resolver: &TokioResolver, name: &str) -> Result<Answer, NetError> {
    let lookup = resolver.srv_lookup(name).await?;
    let mut records: Vec<SRV> = Vec::new();
    for record in lookup.answers().iter().take(MAX_ENDPOINTS) {
        match &record.data {
            // a root target says that the service is not there
            RData::SRV(srv) if !srv.target.is_root() => records.push(srv.clone()),
            _ => {}
        }
    }
    let targets: Vec<Result<Answer, NetError>> =
        stream::iter(records).map(|srv| target(resolver, srv)).buffered(PARALLEL).collect().await;
    let mut all = Answer { found: Vec::new(), ttl: ttl(lookup.answers()) };
    let mut failure = None;
    for target in targets {
        match target {
            Ok(answer) => {
                all.found.extend(answer.found);
                all.ttl = all.ttl.min(answer.ttl);
            }
            Err(error) => failure = Some(error),
        }
    }
    // of an address with several records the first counts, whatever their order in the answer
    all.found.sort_by_key(|found| (found.priority, Reverse(found.weight)));
    match failure {
        Some(error) if all.found.is_empty() => Err(error),
        _ => Ok(all),
    }
}

async fn target(resolver: &TokioResolver, srv: SRV) -> Result<Answer, NetError> {
    let (addresses, ttl) = addresses(resolver, &srv.target.to_ascii()).await?;
    let found = addresses
        .into_iter()
        .map(|ip| Found {
            address: Address::Tcp((ip, srv.port).into()),
            zone: None,
            // weight 0 means «hardly ever» beside others and «nobody chose» alone
            weight: u32::from(srv.weight).max(1),
            priority: srv.priority,
        })
        .collect();
    Ok(Answer { found, ttl })
}

/// The shortest time to live of `records`.
fn ttl(records: &[Record]) -> Duration {
    records.iter().map(|record| Duration::from_secs(record.ttl.into())).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::atomic::{AtomicU64, Ordering};

    use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::{Name, RecordType};
    use tokio::net::UdpSocket;
    use tokio::time::Instant;

    use super::*;

    /// A name server that knows two hosts and one service.
    async fn nameserver() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let reply = reply(&Message::from_vec(&buffer[..length]).unwrap());
                socket.send_to(&reply.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        address
    }

    fn reply(request: &Message) -> Message {
        let query = request.queries[0].clone();
        let name = query.name().clone();
        let a = |last| RData::A(Ipv4Addr::new(10, 0, 0, last).into());
        let srv = |priority, weight, target: &str| {
            RData::SRV(SRV::new(priority, weight, 8080, Name::from_ascii(target).unwrap()))
        };
        let data = match (name.to_ascii().as_str(), query.query_type()) {
            ("one.test.", RecordType::A) => vec![a(1)],
            ("two.test.", RecordType::A) => vec![a(1), a(2)],
            ("srv.test.", RecordType::SRV) => {
                vec![srv(5, 0, "two.test."), srv(0, 70, "one.test."), srv(0, 1, "none.test.")]
            }
            _ => Vec::new(),
        };
        let mut reply = Message::response(request.metadata.id, OpCode::Query);
        if data.is_empty() {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        reply.add_query(query);
        reply.add_answers(data.into_iter().map(|data| Record::from_rdata(name.clone(), 7, data)));
        reply
    }

    async fn first(name: &str, record: DnsRecord) -> Result<Vec<Found>, String> {
        let server = nameserver().await;
        let dns = Dns::with_nameserver(server, name, 80, record, Duration::from_secs(5), 1).unwrap();
        dns.watch("data").next().await.unwrap()
    }

    fn shown(found: Vec<Found>) -> Vec<(String, u32, u16)> {
        let mut shown: Vec<_> = found
            .into_iter()
            .map(|found| (found.address.to_string(), found.weight, found.priority))
            .collect();
        shown.sort();
        shown
    }

    #[tokio::test]
    async fn host_records_are_endpoints() {
        let found = first("two.test.", DnsRecord::Host).await.unwrap();

        assert_eq!(shown(found), [("10.0.0.1:80".to_owned(), 1, 0), ("10.0.0.2:80".to_owned(), 1, 0)]);
    }

    #[tokio::test]
    async fn srv_records_bring_port_weight_and_priority() {
        let found = first("srv.test.", DnsRecord::Srv).await.unwrap();

        assert_eq!(found[0].priority, 0, "of an address with two records the first counts");
        assert_eq!(
            shown(found),
            [
                ("10.0.0.1:8080".to_owned(), 1, 5),
                ("10.0.0.1:8080".to_owned(), 70, 0),
                ("10.0.0.2:8080".to_owned(), 1, 5),
            ]
        );
    }

    #[tokio::test]
    async fn a_name_that_is_unknown_is_an_error_that_names_it() {
        let error = first("none.test.", DnsRecord::Host).await.unwrap_err();

        assert!(error.contains("none.test."), "{error}");
    }

    #[test]
    fn the_pause_is_the_shorter_of_both_but_a_second_at_least() {
        let secs = Duration::from_secs;

        assert_eq!(pause_after(secs(300), secs(5), 0.0), secs(5));
        assert_eq!(pause_after(secs(3), secs(5), 0.0), secs(3));
        assert_eq!(pause_after(secs(10), secs(10), 0.5), secs(9));
        assert_eq!(pause_after(secs(0), secs(5), 0.9), secs(1));
        assert_eq!(pause_after(Duration::MAX, secs(5), 0.0), secs(5), "an error");
    }

    #[tokio::test(start_paused = true)]
    async fn the_name_is_asked_for_again_when_its_time_to_live_is_over() {
        let asked = Arc::new(AtomicU64::new(0));
        let counter = asked.clone();
        let ask = move || {
            let round = counter.fetch_add(1, Ordering::Relaxed);
            async move {
                match round {
                    1 => Err("timeout".to_owned()),
                    _ => Ok(Answer { found: Vec::new(), ttl: Duration::from_secs(2) }),
                }
            }
        };
        let begun = Instant::now();

        let told: Vec<_> =
            repeated(ask, Duration::from_secs(10), Arc::new(Dice::new(1))).take(3).collect().await;

        assert_eq!(told.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        let elapsed = begun.elapsed().as_secs_f64();
        assert!((9.6..=12.01).contains(&elapsed), "2 s and 10 s, less a fifth at most: {elapsed}");
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}
