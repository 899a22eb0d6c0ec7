//! The pipeline against a server that says what a test wants it to say.

use std::path::Path;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::*;
use crate::render::Value;

/// A message: its tag, its length, what it holds.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn done() -> Vec<u8> {
    [message(b'1', b""), message(b'2', b""), message(b'C', b"SELECT 0\0")].concat()
}

fn row(text: &str) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_i16(1);
    body.put_i32(i32::try_from(text.len()).unwrap());
    body.put_slice(text.as_bytes());
    message(b'D', &body)
}

fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0C{code}\0Mno\0\0").as_bytes())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// What one flush held: tags and contents, without the `Sync`.
type Asked = Vec<(u8, Vec<u8>)>;

async fn heard(stream: &mut UnixStream) -> Asked {
    let mut asked = Vec::new();
    loop {
        let tag = stream.read_u8().await.unwrap();
        let mut body = vec![0; stream.read_u32().await.unwrap() as usize - 4];
        stream.read_exact(&mut body).await.unwrap();
        if tag == b'S' {
            return asked;
        }
        asked.push((tag, body));
    }
}

/// A connection to a server that answers one flush after the other. The task has what it heard, and keeps its end open.
async fn connected(folder: &Path, answers: Vec<Vec<u8>>) -> (Wire, JoinHandle<(Vec<Asked>, UnixStream)>) {
    let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut startup = vec![0; stream.read_u32().await.unwrap() as usize - 4];
        stream.read_exact(&mut startup).await.unwrap();
        let greeting = [message(b'R', &[0; 4]), message(b'K', &[0; 8]), ready()].concat();
        stream.write_all(&greeting).await.unwrap();
        let mut all = Vec::new();
        for answer in answers {
            all.push(heard(&mut stream).await);
            stream.write_all(&answer).await.unwrap();
        }
        (all, stream)
    });
    let mut config = Config::new();
    config.host_path(folder).user("u").dbname("d");
    (Wire::connect(&config, None).await.unwrap(), server)
}

fn sql(text: &'static str) -> Sql {
    Sql::fixed(text, Vec::new())
}

/// The name in a message that begins with one.
fn name_in(body: &[u8]) -> String {
    let end = body.iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8_lossy(&body[..end]).into_owned()
}

#[tokio::test]
async fn rows_are_those_of_their_statement() {
    let folder = tempfile::tempdir().unwrap();
    let second = [message(b'1', b""), message(b'2', b""), row("a"), row("b"), message(b'C', b"SELECT 2\0")];
    let notice = message(b'N', b"SNOTICE\0\0");
    let answer = [notice, done(), second.concat(), ready()].concat();
    let (mut wire, server) = connected(folder.path(), vec![answer]).await;

    let mut flush = wire.ask();
    flush.commands(&["BEGIN"]).statement(&sql("SELECT x"), Reading::Once);
    let answers = flush.answers().await.unwrap();

    let texts: Vec<Vec<_>> =
        answers.iter().map(|rows| rows.iter().filter_map(|row| row.text(0)).collect()).collect();
    assert_eq!(texts, [vec![], vec!["a".to_owned(), "b".to_owned()]]);
    let tags: Vec<u8> = server.await.unwrap().0[0].iter().map(|(tag, _)| *tag).collect();
    assert_eq!(tags, b"PBEPBE");
}

#[tokio::test]
async fn nobody_asks_while_answers_are_to_come() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wire, _server) = connected(folder.path(), vec![done()]).await;
    let mut flush = wire.ask();
    flush.statement(&sql("SELECT 'of somebody else'"), Reading::Once);
    drop(flush.send().await.unwrap());

    let mut flush = wire.ask();
    flush.statement(&sql("SELECT 1"), Reading::Once);

    let answers = tokio::time::timeout(Duration::from_secs(10), flush.answers()).await;
    assert!(matches!(answers, Ok(Err(Failure::Connection(_)))), "it is refused at once");
    assert!(!wire.is_open(), "it serves nobody");
}

#[tokio::test]
async fn a_command_that_an_error_kept_from_being_read_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let failed = [error("23505"), ready()].concat();
    let well = [done(), message(b'3', b""), ready()].concat();
    let (mut wire, server) = connected(folder.path(), vec![failed, well]).await;
    let mut flush = wire.ask();
    flush.statement(&sql("INSERT"), Reading::Once).commands(&["COMMIT"]);
    let Err(Failure::Database(reported)) = flush.answers().await else { panic!("it fails") };
    assert_eq!((reported.code.as_str(), reported.message.as_str()), ("23505", "no"));

    let mut flush = wire.ask();
    flush.commands(&["COMMIT"]);
    flush.answers().await.unwrap();

    let (heard, _stream) = server.await.unwrap();
    let (first, again) = (name_in(&heard[0][3].1), name_in(&heard[1][0].1));
    assert_eq!((heard[1][0].0, first != again), (b'P', true), "the name may be taken");
    let closed: Vec<&[u8]> =
        heard[1].iter().filter(|(tag, _)| *tag == b'C').map(|(_, body)| &body[1..]).collect();
    assert_eq!(closed, [format!("{first}\0").as_bytes()]);
    assert!(wire.is_open() && wire.closing.is_empty());
}

#[tokio::test]
async fn a_connection_whose_statements_are_not_what_they_should_be_serves_nobody() {
    for code in UNKNOWN_STATEMENTS {
        let folder = tempfile::tempdir().unwrap();
        let (mut wire, _server) = connected(folder.path(), vec![[error(code), ready()].concat()]).await;
        let mut flush = wire.ask();
        flush.statement(&sql("SELECT 1"), Reading::Known(1));

        assert!(flush.answers().await.is_err());
        assert!(!wire.is_open(), "{code}");
    }
}

#[tokio::test]
async fn a_farewell_and_a_closed_connection_are_seen_before_anything_is_asked() {
    for (farewell, closes) in [(error("57P01"), false), (Vec::new(), true), (Vec::new(), false)] {
        let stays = farewell.is_empty() && !closes;
        let folder = tempfile::tempdir().unwrap();
        let answer = [done(), ready(), message(b'N', b"SNOTICE\0\0"), farewell].concat();
        let (mut wire, server) = connected(folder.path(), vec![answer]).await;
        let mut flush = wire.ask();
        flush.statement(&sql("SELECT 1"), Reading::Once);
        flush.answers().await.unwrap();
        let (_, stream) = server.await.unwrap();
        let _open = (!closes).then_some(stream);

        // the runtime hears of it when it waits
        let seen = async {
            while wire.is_open() != stays {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), seen).await.expect("it is seen");
    }
}

#[tokio::test]
async fn a_large_value_is_sent_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wire, server) = connected(folder.path(), vec![[done(), ready()].concat()]).await;
    let large = "x".repeat(200_000);
    let values = ["before", &large, "after"].map(|value| Value::Text(Bytes::from(value.to_owned())));

    let mut flush = wire.ask();
    flush.statement(&Sql::fixed("SELECT $1, $2, $3", values.to_vec()), Reading::Once);
    flush.answers().await.unwrap();

    let (heard, _stream) = server.await.unwrap();
    let mut expected = BytesMut::new();
    expected.put_slice(b"\0\0");
    for number in [3_i16, 0, 0, 0, 3] {
        expected.put_i16(number);
    }
    for value in ["before", &large, "after"] {
        expected.put_u32(u32::try_from(value.len()).unwrap());
        expected.put_slice(value.as_bytes());
    }
    expected.put_slice(&[0, 1, 0, 1]);
    assert_eq!(heard[0][1], (b'B', expected.to_vec()));
}
