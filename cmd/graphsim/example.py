"""Example of tests against graphsim in another language. Needs only Python's standard library.

    PATH=$PATH:bin python3 cmd/graphsim/example.py
"""

import http.server, json, queue, ssl, subprocess, tempfile, threading, unittest
from datetime import datetime, timedelta, timezone
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import Request, urlopen

received = queue.Queue()  # notifications


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        token = parse_qs(urlsplit(self.path).query).get("validationToken")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not token:
            received.put(json.loads(body)["value"])
        self.send_response(200 if token else 202)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(token[0].encode() if token else b"")

    def log_message(self, *_):
        pass


class GraphTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ca = tempfile.mkdtemp() + "/ca.pem"
        free = ["--addr=127.0.0.1:0", "--control-addr=127.0.0.1:0"]
        cls.sim = subprocess.Popen(["graphsim", *free, "--ca-file", ca], stdout=subprocess.PIPE, text=True)
        printed = dict(cls.sim.stdout.readline().strip().split("=", 1) for _ in range(6))
        cls.control = cls.sim.stdout.readline().split()[-1]
        cls.graph, cls.tls = printed["GRAPH_ENDPOINT"], ssl.create_default_context(cafile=ca)
        form = {"grant_type": "client_credentials", "scope": cls.graph + "/.default",
                "client_id": printed["AZURE_CLIENT_ID"], "client_secret": printed["AZURE_CLIENT_SECRET"]}
        login = f"{printed['AZURE_AUTHORITY_HOST']}/{printed['AZURE_TENANT_ID']}/oauth2/v2.0/token"
        cls.token = json.load(urlopen(login, urlencode(form).encode(), context=cls.tls))["access_token"]
        cls.receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=cls.receiver.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.receiver.server_close()
        cls.sim.terminate()
        cls.sim.communicate()

    def call(self, method, url, body=None):
        headers = {"Authorization": "Bearer " + self.token, "Content-Type": "application/json"}
        request = Request(url, json.dumps(body).encode(), headers, method=method)
        with urlopen(request, context=self.tls if url.startswith("https:") else None) as answer:
            return json.loads(answer.read() or "null")

    def setUp(self):
        self.call("POST", self.control + "/reset")
        self.ann = self.call("POST", self.control + "/users", {"userPrincipalName": "ann@contoso.example"})["id"]
        self.setting = f"{self.graph}/v1.0/users/{self.ann}/mailboxSettings/automaticRepliesSetting"

    def test_throttled(self):
        self.call("POST", self.control + "/faults", {"operation": "read", "kind": "throttle", "retryAfter": "2s", "times": 1})
        with self.assertRaises(HTTPError) as refused:
            self.call("GET", self.setting)
        self.assertEqual((refused.exception.code, refused.exception.headers["Retry-After"]), (429, "2"))
        self.assertEqual(self.call("GET", self.setting)["status"], "disabled")

    def test_notification(self):
        url = f"http://127.0.0.1:{self.receiver.server_port}/"
        ends = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        subscription = self.call("POST", self.graph + "/v1.0/subscriptions", {
            "changeType": "created", "resource": f"/users/{self.ann}/events", "notificationUrl": url,
            "expirationDateTime": ends, "clientState": "secret"})
        self.call("PUT", f"{self.control}/users/{self.ann}/automaticReplies", {"status": "alwaysEnabled", "calendarBlock": True})
        item = received.get(timeout=10)[0]
        self.assertEqual((item["subscriptionId"], item["clientState"]), (subscription["id"], "secret"))
        self.assertEqual(self.call("GET", self.setting)["status"], "alwaysEnabled")


if __name__ == "__main__":
    unittest.main()
