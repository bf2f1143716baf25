# As much of requests as client.py uses, for machines without it: the test puts this
# folder into PYTHONPATH there.
import json
import urllib.error
import urllib.request

ConnectionError = urllib.error.URLError


class Response:
    def __init__(self, answer):
        self.status_code = answer.status
        self.headers = answer.headers
        self.ok = answer.status < 400
        self._body = answer.read()

    def json(self):
        return json.loads(self._body)


def get(url, headers):
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers))
    except urllib.error.HTTPError as refused:
        answer = refused
    with answer:
        return Response(answer)
