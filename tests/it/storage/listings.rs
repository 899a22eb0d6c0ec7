//! Listings: a folder by offset, a prefix by cursor.

use serde_json::{Value, json};

use super::{SCHEMA, names, post, refused, upload_all};
use crate::support::{Actor, App, at, run};

const KEYS: [&str; 8] = [
    "b.txt",
    "a.txt",
    "c.txt",
    "docs/one.txt",
    "docs/two.txt",
    "docs/deep/x.txt",
    "img/cat.png",
    "img-2/dog.png",
];

async fn list(actor: &Actor, body: Value) -> Value {
    post(actor, "object/list/files", body).send().await.expect(200).json()
}

async fn list_v2(actor: &Actor, body: Value) -> Value {
    post(actor, "object/list-v2/files", body).send().await.expect(200).json()
}

#[test]
fn a_folder_shows_its_objects_and_folders() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload_all(&ann, &KEYS).await;

        let top = list(&ann, json!({"prefix": ""})).await;
        let docs = list(&ann, json!({"prefix": "docs"})).await;

        let mut sorted = names(&top);
        sorted.sort_unstable();
        assert_eq!(sorted, ["a.txt", "b.txt", "c.txt", "docs", "img", "img-2"]);
        assert_eq!(names(&docs), ["deep", "one.txt", "two.txt"], "names are relative");
        assert_eq!(list(&ann, json!({"prefix": "docs/"})).await, docs);
        assert_eq!(
            docs[0],
            json!({"name": "deep", "id": null, "created_at": null, "updated_at": null, "last_accessed_at": null, "metadata": null})
        );
        insta::assert_json_snapshot!(docs[1], {
            ".id" => "[id]", ".created_at" => "[time]", ".updated_at" => "[time]", ".last_accessed_at" => "[time]",
            ".metadata.eTag" => "[hash]", ".metadata.lastModified" => "[time]",
        }, @r#"
        {
          "name": "one.txt",
          "id": "[id]",
          "updated_at": "[time]",
          "created_at": "[time]",
          "last_accessed_at": "[time]",
          "metadata": {
            "eTag": "[hash]",
            "size": 12,
            "mimetype": "text/plain",
            "cacheControl": "no-cache",
            "lastModified": "[time]",
            "contentLength": 12,
            "httpStatusCode": 200
          }
        }
        "#);
        assert_eq!(list(&ann, json!({"prefix": "do"})).await, json!([]), "a folder is a whole name");
    });
}

#[test]
fn a_folder_is_searched_sorted_and_paged() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload_all(&ann, &["f/one.txt", "f/two.txt", "f/three.txt", "f/Twelve.txt", "f/1_0.txt"]).await;
        for (body, expected) in [
            (json!({"search": "tw"}), vec!["Twelve.txt", "two.txt"]),
            (json!({"search": "1_0"}), vec!["1_0.txt"]),
            (json!({"search": "___.txt"}), vec![]),
            (json!({"search": "%"}), vec![]),
            (
                json!({"sortBy": {"column": "created_at", "order": "asc"}}),
                vec!["one.txt", "two.txt", "three.txt", "Twelve.txt", "1_0.txt"],
            ),
            (
                json!({"sortBy": {"column": "created_at", "order": "desc"}, "limit": 2}),
                vec!["1_0.txt", "Twelve.txt"],
            ),
            (
                json!({"sortBy": {"column": "created_at", "order": "asc"}, "limit": 2, "offset": 3}),
                vec!["Twelve.txt", "1_0.txt"],
            ),
            (json!({"limit": 10, "offset": 5}), vec![]),
        ] {
            let mut body = body;
            body["prefix"] = json!("f");
            let listed = list(&ann, body.clone()).await;
            let (mut shown, mut expected) = (names(&listed), expected);
            if at(&body, "/sortBy").is_null() {
                shown.sort_unstable();
                expected.sort_unstable();
            }
            assert_eq!(shown, expected, "{body}");
        }
        let by_name = |order: &'static str| {
            list(&ann, json!({"prefix": "f", "sortBy": {"column": "name", "order": order}}))
        };
        let (mut up, down) = (by_name("asc").await, by_name("desc").await);
        up.as_array_mut().unwrap().reverse();
        assert_eq!(up, down);
        for wrong in [
            json!({"limit": 0}),
            json!({"offset": -1}),
            json!({"sortBy": {"column": "owner"}}),
            json!({"sortBy": {"order": "up"}}),
        ] {
            let mut body = wrong;
            body["prefix"] = json!("f");
            refused(post(&ann, "object/list/files", body).send().await, 400, "InvalidRequest");
        }
    });
}

/// Follows the cursor to the end; the names of all pages, none of which is over the limit.
async fn all_pages(actor: &Actor, mut body: Value) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = list_v2(actor, body.clone()).await;
        let (folders, objects) = (names(&page["folders"]), names(&page["objects"]));
        assert!(
            (1..=body["limit"].as_u64().unwrap()).contains(&((folders.len() + objects.len()) as u64)),
            "{page}"
        );
        all.extend(folders.into_iter().chain(objects).map(str::to_owned));
        if page["hasNext"] == false {
            assert_eq!(page.get("nextCursor"), None);
            return all;
        }
        body["cursor"] = page["nextCursor"].clone();
    }
}

#[test]
fn a_cursor_leads_through_all_pages_and_shows_each_name_once() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload_all(&ann, &KEYS).await;
        let mut flat: Vec<&str> = KEYS.to_vec();
        flat.sort_unstable();
        let mut folded = vec!["a.txt", "b.txt", "c.txt", "docs/", "img/", "img-2/"];
        folded.sort_unstable();
        for (column, order) in [
            ("name", "asc"),
            ("name", "desc"),
            ("created_at", "asc"),
            ("created_at", "desc"),
            ("updated_at", "asc"),
            ("updated_at", "desc"),
        ] {
            for (with_delimiter, expected) in [(false, &flat), (true, &folded)] {
                for limit in [2, 3] {
                    let sort = json!({"column": column, "order": order});
                    let body = json!({"prefix": "", "limit": limit, "with_delimiter": with_delimiter, "sortBy": sort});
                    let mut all = all_pages(&ann, body.clone()).await;
                    if column == "name" && !with_delimiter {
                        assert!(all.is_sorted_by(|a, b| (a < b) == (order == "asc")), "{body}: {all:?}");
                    }
                    all.sort_unstable();
                    assert_eq!(&all, expected, "{body}");
                }
            }
        }
        let docs = all_pages(&ann, json!({"prefix": "docs/", "limit": 2, "with_delimiter": true})).await;
        assert_eq!(docs, ["docs/deep/", "docs/one.txt", "docs/two.txt"]);
        let partial = all_pages(&ann, json!({"prefix": "img", "limit": 1})).await;
        assert_eq!(partial, ["img-2/dog.png", "img/cat.png"]);
        for cursor in ["x", "bDoK", &"A".repeat(10_000)] {
            let call = post(&ann, "object/list-v2/files", json!({"cursor": cursor}));
            refused(call.send().await, 400, "InvalidParameter");
        }
    });
}

#[test]
fn a_listing_shows_what_its_reader_may_see() {
    run(async {
        let app = App::with(SCHEMA).await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        upload_all(&ann, &["ann/a.txt", "both/a.txt"]).await;
        upload_all(&bob, &["bob/b.txt", "both/b.txt"]).await;

        for (actor, folders, both) in
            [(&ann, vec!["ann", "both"], vec!["a.txt"]), (&bob, vec!["bob", "both"], vec!["b.txt"])]
        {
            assert_eq!(names(&list(actor, json!({"prefix": ""})).await), folders);
            assert_eq!(names(&list(actor, json!({"prefix": "both"})).await), both);
            let folded = list_v2(actor, json!({"prefix": "", "with_delimiter": true})).await;
            assert_eq!(
                names(&folded["folders"]),
                folders.iter().map(|name| format!("{name}/")).collect::<Vec<_>>()
            );
        }
        assert_eq!(list(&app.anon(), json!({"prefix": ""})).await, json!([]));
        assert_eq!(
            list_v2(&app.anon(), json!({})).await,
            json!({"hasNext": false, "folders": [], "objects": []})
        );
    });
}
