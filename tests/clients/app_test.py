"""The same app as app.test.mjs, with the stock `supabase` package for Python.

TARGETS is a JSON list of {name, url, anon_key, service_role_key}; every test runs against each.
"""

import json
import os
import socket
import unittest
import urllib.error
import urllib.request
import uuid

from postgrest.exceptions import APIError
from storage3.exceptions import StorageApiError
from supabase import AuthApiError, create_client

TARGETS = json.loads(os.environ["TARGETS"])
PASSWORD = "correct horse battery"


# names under .localhost are this machine (RFC 6761 §6.3); the system's resolver may not know
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: resolve(
    "localhost" if str(host).endswith(".localhost") else host, *rest, **more
)


class AppForTwo(unittest.TestCase):
    """Ann and Bob share a project and nothing else."""

    target: dict

    def setUp(self) -> None:
        run = uuid.uuid4().hex[:8]
        self.ann_email = f"ann-{run}@example.com"
        self.ann, self.ann_id = self.sign_up(self.ann_email)
        self.bob, self.bob_id = self.sign_up(f"bob-{run}@example.com")

    def client(self, key: str = "anon_key"):
        return create_client(self.target["url"], self.target[key])

    def sign_up(self, email: str):
        client = self.client()
        answer = client.auth.sign_up({"email": email, "password": PASSWORD})
        self.assertIsNotNone(answer.session, "on loopback nobody has to confirm")
        return client, answer.user.id

    def test_refused_sign_ins(self) -> None:
        with self.assertRaises(AuthApiError) as taken:
            self.client().auth.sign_up({"email": self.ann_email, "password": PASSWORD})
        self.assertEqual(taken.exception.code, "user_already_exists")
        with self.assertRaises(AuthApiError) as wrong:
            self.client().auth.sign_in_with_password({"email": self.ann_email, "password": "not this one"})
        self.assertEqual(wrong.exception.code, "invalid_credentials")

    def test_rows_under_row_level_security(self) -> None:
        ann, bob = self.ann.table("todos"), self.bob.table("todos")
        ann.insert([{"title": "milk", "priority": 1}, {"title": "bread", "priority": 2}]).execute()
        bob.insert({"title": "milk"}).execute()

        mine = self.ann.table("todos").select("title").gte("priority", 2).execute()
        self.assertEqual(mine.data, [{"title": "bread"}])
        counted = self.bob.table("todos").select("*", count="exact").execute()
        self.assertEqual((len(counted.data), counted.count), (1, 1))
        with self.assertRaises(APIError) as stolen:
            self.bob.table("todos").insert({"title": "x", "owner": self.ann_id}).execute()
        self.assertEqual(stolen.exception.code, "42501")

        row = self.ann.table("todos").upsert({"title": "milk", "priority": 9}, on_conflict="owner,title").execute()
        self.assertEqual(row.data[0]["priority"], 9)
        self.assertEqual(self.bob.table("todos").delete().eq("owner", self.ann_id).execute().data, [])
        single = self.ann.table("todos").select("priority").eq("title", "milk").single().execute()
        self.assertEqual(single.data, {"priority": 9})

    def test_embedding_and_functions(self) -> None:
        shop = self.ann.table("lists").insert({"name": "shop"}).execute().data[0]
        self.ann.table("todos").insert({"title": "tea", "list": shop["id"]}).execute()

        up = self.ann.table("todos").select("title, lists(name)").execute()
        self.assertEqual(up.data, [{"title": "tea", "lists": {"name": "shop"}}])
        down = self.ann.table("lists").select("name, todos(title)").execute()
        self.assertEqual(down.data, [{"name": "shop", "todos": [{"title": "tea"}]}])
        self.assertEqual(self.ann.rpc("open_todos", {"at_least": 0}).execute().data, 1)
        self.assertEqual(self.bob.rpc("open_todos").execute().data, 0)

    def test_files_under_an_owner_only_policy(self) -> None:
        path, content = f"{self.ann_id}/notes/a b.txt", b"hello"
        pictures = self.ann.storage.from_("pictures")
        pictures.upload(path, content, {"content-type": "text/plain"})

        self.assertEqual(pictures.download(path), content)
        self.assertEqual([o["name"] for o in pictures.list(f"{self.ann_id}/notes")], ["a b.txt"])
        with self.assertRaises(StorageApiError):
            self.bob.storage.from_("pictures").download(path)
        signed = pictures.create_signed_url(path, 60)["signedURL"]
        with urllib.request.urlopen(signed) as answer:
            self.assertEqual(answer.read(), content)
        self.assertEqual(len(pictures.remove([path])), 1)
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(signed)

    def test_refresh_and_sign_out(self) -> None:
        before = self.ann.auth.get_session()
        after = self.ann.auth.refresh_session().session
        self.assertNotEqual(before.refresh_token, after.refresh_token)
        self.assertEqual(self.ann.auth.get_user().user.id, self.ann_id)
        self.ann.auth.sign_out()
        with self.assertRaises(AuthApiError):
            self.client().auth.refresh_session(after.refresh_token)


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for target in TARGETS:
        case = type(f"AppForTwo_{target['name']}", (AppForTwo,), {"target": target})
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


if __name__ == "__main__":
    unittest.main()
