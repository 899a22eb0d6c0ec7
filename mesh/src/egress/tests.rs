//! Ways out of the mesh, and the ways round that are closed.

use super::*;

const MESH: &str = "
trust_domain: meshbase.local
services: {}
egress:
  - { from: [functions, auth], host: api.example.com }
  - { from: [functions], host: '*.partner.example', ports: [443, 8443] }
  - { from: [functions], host: 93.184.216.34 }
  - { from: [functions], host: 10.0.0.7, ports: [5432], private: true }
  - { from: [functions], host: db.internal, ports: [5432], private: true }
  - { from: [functions], host: 10.0.0.8 }
  - { from: [functions], host: '*.com' }
  - { from: [functions], host: '*' }
  - { from: [functions], host: '*.0.0.1' }
  - { from: [functions], host: '127.1' }
  - { from: [functions], host: closed.example, ports: [] }
";

fn allows(source: &str, host: &str, port: u16) -> Result<Permit, EgressDenied> {
    EgressRules::compile(&serde_saphyr::from_str(MESH).unwrap()).allows(source, host, port)
}

async fn resolve(host: &str, port: u16, answers: &[&str]) -> Result<Vec<String>, EgressDenied> {
    let answers = answers.iter().map(|answer| answer.parse().unwrap()).collect();
    let found = allows("functions", host, port)?.resolve(async |_| Ok(answers)).await?;
    Ok(found.iter().map(SocketAddr::to_string).collect())
}

#[test]
fn what_a_rule_names_is_allowed() {
    let allowed = [
        ("auth", "api.example.com", 443),
        ("functions", "API.EXAMPLE.COM", 443),
        ("functions", "api.example.com.", 443),
        ("functions", "a.partner.example", 8443),
        ("functions", "a.b.partner.example", 443),
        ("functions", "93.184.216.34", 443),
        ("functions", "[::ffff:93.184.216.34]", 443),
        ("functions", "10.0.0.7", 5432),
    ];
    for (source, host, port) in allowed {
        assert!(allows(source, host, port).is_ok(), "{source} {host}:{port}");
    }
}

#[test]
fn everything_else_is_denied() {
    let attacks = [
        ("data", "api.example.com", 443),
        ("", "api.example.com", 443),
        ("Functions", "api.example.com", 443),
        ("auth", "a.partner.example", 443),
        ("functions", "api.example.com", 80),
        ("functions", "api.example.com", 0),
        ("functions", "a.partner.example", 80),
        ("functions", "closed.example", 443),
        ("functions", "example.com", 443),
        ("functions", "xapi.example.com", 443),
        ("functions", "api.example.com.evil.net", 443),
        ("functions", "api.example.com@evil.net", 443),
        ("functions", "evil.net#api.example.com", 443),
        ("functions", "evil.net/api.example.com", 443),
        ("functions", "evil.net?api.example.com", 443),
        ("functions", "evil.net\\.partner.example", 443),
        ("functions", "evil.net/.partner.example", 443),
        ("functions", "evil.net%2f.partner.example", 443),
        ("functions", "evil.net\0.partner.example", 443),
        ("functions", "partner.example", 443),
        ("functions", ".partner.example", 443),
        ("functions", "a..partner.example", 443),
        ("functions", "evilpartner.example", 443),
        ("functions", "a.partner.example.evil.net", 443),
        ("functions", "api.example.com..", 443),
        ("functions", "api.example.com:443", 443),
        ("functions", "api.example.com ", 443),
        ("functions", "evil.com", 443),
        ("functions", "*.partner.example", 443),
        ("functions", "localhost", 443),
        ("functions", "127.0.0.1", 443),
        ("functions", "127.1", 443),
        ("functions", "0x7f.1", 443),
        ("functions", "0x7f000001", 443),
        ("functions", "0177.0.0.1", 443),
        ("functions", "2130706433", 443),
        ("functions", "0", 443),
        ("functions", "[::1]", 443),
        ("functions", "::1", 443),
        ("functions", "[::ffff:127.0.0.1]", 443),
        ("functions", "[::ffff:7f00:1]", 443),
        ("functions", "[::]", 443),
        ("functions", "169.254.169.254", 443),
        ("functions", "2852039166", 443),
        ("functions", "0xa9fea9fe", 443),
        ("functions", "[fe80::1%25eth0]", 443),
        ("functions", "①②⑦.0.0.1", 443),
        ("functions", "127。0。0。1", 443),
        ("functions", "api。example。com", 443),
        ("functions", "api.examp\u{ad}le.com", 443),
        ("functions", "", 443),
        ("functions", ".", 443),
        ("functions", "93.184.216.034", 443),
        ("functions", "93.184.55330", 443),
        ("functions", "10.0.0.7", 443),
    ];
    for (source, host, port) in attacks {
        let denied = allows(source, host, port).err();
        assert!(denied.is_some(), "{source} {host}:{port}");
        assert_eq!(denied.map(|denied| denied.cause()), Some(Cause::NotAllowed));
    }
}

#[tokio::test]
async fn the_addresses_that_were_checked_are_given() {
    let found = resolve("api.example.com", 443, &["93.184.216.34", "::ffff:8.8.8.8", "2606:4700::1"]).await;

    assert_eq!(found.unwrap(), ["93.184.216.34:443", "8.8.8.8:443", "[2606:4700::1]:443"]);
}

#[tokio::test]
async fn a_name_that_also_leads_inside_leads_nowhere() {
    let inside = [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "::",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:a00:1::",
        "224.0.0.1",
    ];
    for address in inside {
        for answers in [&[address][..], &["93.184.216.34", address], &[address, "93.184.216.34"]] {
            let denied = resolve("a.partner.example", 443, answers).await.unwrap_err();
            assert!(matches!(denied, EgressDenied::Address { .. }), "{answers:?} {denied}");
        }
    }
    let hidden: Vec<&str> = std::iter::repeat_n("8.8.8.8", 40).chain(["10.0.0.1"]).collect();
    assert!(resolve("a.partner.example", 443, &hidden).await.is_err());
}

#[tokio::test]
async fn a_rule_for_private_hosts_leads_inside_but_not_to_metadata() {
    assert_eq!(resolve("db.internal", 5432, &["10.1.2.3"]).await.unwrap(), ["10.1.2.3:5432"]);
    assert_eq!(resolve("10.0.0.7", 5432, &[]).await.unwrap(), ["10.0.0.7:5432"]);
    assert!(resolve("db.internal", 5432, &["169.254.169.254"]).await.is_err());
    assert!(resolve("db.internal", 5432, &["fd00:ec2::254"]).await.is_err());
    assert!(resolve("db.internal", 5432, &["0.0.0.0"]).await.is_err());
}

#[tokio::test]
async fn an_address_that_a_rule_names_without_leave_is_not_reached() {
    let denied = resolve("10.0.0.8", 443, &[]).await.unwrap_err();

    assert_eq!(denied.to_string(), "10.0.0.8 leads to 10.0.0.8, a private address");
}

#[tokio::test]
async fn a_name_is_looked_up_as_it_was_checked() {
    let permit = allows("functions", "API.example.COM.", 443).unwrap();
    let mut asked = String::new();

    let found = permit
        .resolve(|name| {
            asked = name;
            async { Ok(vec!["8.8.8.8".parse().unwrap()]) }
        })
        .await;

    assert!(found.is_ok());
    assert_eq!(asked, "api.example.com");
}

#[tokio::test]
async fn a_name_without_address_is_unreachable() {
    let denied = resolve("api.example.com", 443, &[]).await.unwrap_err();
    let failed = allows("functions", "api.example.com", 443)
        .unwrap()
        .resolve(async |_| Err(io::Error::other("no such name")))
        .await
        .unwrap_err();

    assert_eq!(denied.cause(), Cause::Unreachable);
    assert_eq!(failed.to_string(), "api.example.com cannot be looked up: no such name");
}

#[tokio::test]
async fn only_so_many_addresses_are_tried() {
    let many = ["8.8.8.8"; 40];

    assert_eq!(resolve("api.example.com", 443, &many).await.unwrap().len(), 16);
}
