"""The official openai client against a box: what it asks for, it gets; what it must not have, it is told.

run.sh starts the box and says where it is (ILOT_URL, ILOT_SETUP_LINK, ILOT_TEST_MODEL).
"""

import asyncio
import json
import math
import os
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import openai
from pydantic import BaseModel

URL = os.environ["ILOT_URL"]
MODEL_FILE = Path(os.environ["ILOT_TEST_MODEL"])
MODEL = "stories260k"
PASSWORD = "un mot de passe assez long"
BEGINNING = "Once upon a time"
# No step takes longer, unless something hangs.
PATIENCE = 60


def call(method, path, body=None, token=None, content_type="application/json"):
    """One request to the box, without the client; its JSON, or the fault's status and code."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=data, method=method)
    if data is not None:
        request.add_header("Content-Type", content_type)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        raise AssertionError(f"{method} {path}: {refused.code} {refused.read()[:500]}") from None


def form(fields, files):
    """A form with files, as browsers send it: its bytes and its content type."""
    boundary = uuid.uuid4().hex
    body = b""
    for name, value in fields.items():
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, path in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"\r\n\r\n'
        body += head.encode() + path.read_bytes() + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Box:
    """The box, set up: a token of its administrator, and keys of the administrator's."""

    def __init__(self):
        link = urllib.parse.urlsplit(os.environ["ILOT_SETUP_LINK"])
        word = urllib.parse.parse_qs(link.query)["token"][0]
        first = {"token": word, "site": "Dépôt", "username": "chef", "password": PASSWORD}
        self.token = call("POST", "/setup", first)["access_token"]
        # Nobody has chosen a model yet: what the client hears then is looked at before one is.
        self.before = self.refusal_without_model()
        body, kind = form({"name": MODEL}, {"file": MODEL_FILE})
        call("POST", "/models", body, self.token, kind)
        call("POST", f"/models/{MODEL}/use", {}, self.token)

    def key(self, *scopes):
        made = call("POST", "/apikeys", {"name": f"k{uuid.uuid4().hex[:8]}", "scopes": scopes}, self.token)
        return made["key"]

    def client(self, key=None, **options):
        return openai.OpenAI(base_url=URL + "/v1", api_key=key or KEY, timeout=PATIENCE, **options)

    def refusal_without_model(self):
        began = time.monotonic()
        client = self.client(self.key("llm"))
        try:
            client.completions.create(model="default", prompt=BEGINNING)
        except openai.InternalServerError as refused:
            return refused, time.monotonic() - began
        raise AssertionError("something was written without a model")

    def writer(self):
        return call("GET", "/models", token=self.token)["engine"]


def setUpModule():
    global BOX, KEY, CLIENT
    BOX = Box()
    KEY = BOX.key("llm")
    CLIENT = BOX.client()


def completion(**change):
    asked = {"model": MODEL, "prompt": BEGINNING, "max_tokens": 24, "temperature": 0} | change
    return CLIENT.completions.create(**asked)


def chat(**change):
    messages = [{"role": "system", "content": "Tell a story."}, {"role": "user", "content": BEGINNING}]
    asked = {"model": MODEL, "messages": messages, "max_tokens": 24, "temperature": 0} | change
    return CLIENT.chat.completions.create(**asked)


class Models(unittest.TestCase):
    def test_the_model_in_use_is_listed_and_shown(self):
        names = [model.id for model in CLIENT.models.list()]
        self.assertIn(MODEL, names)
        self.assertEqual(len(names), len(set(names)))
        shown = CLIENT.models.retrieve(MODEL)
        self.assertEqual((shown.id, shown.object, shown.owned_by), (MODEL, "model", "ilot"))
        self.assertLess(abs(shown.created - time.time()), 600)
        self.assertEqual(CLIENT.models.retrieve("default").id, MODEL)
        with self.assertRaises(openai.NotFoundError):
            CLIENT.models.retrieve("gpt-4o")


class Completions(unittest.TestCase):
    def test_a_text_goes_on(self):
        whole = completion()
        self.assertEqual((whole.object, whole.model), ("text_completion", MODEL))
        self.assertTrue(whole.id.startswith("cmpl-"))
        [choice] = whole.choices
        self.assertGreater(len(choice.text), 20)
        self.assertEqual(choice.finish_reason, "length")
        self.assertEqual(whole.usage.completion_tokens, 24)
        self.assertGreater(whole.usage.prompt_tokens, 3)
        total = whole.usage.prompt_tokens + whole.usage.completion_tokens
        self.assertEqual(whole.usage.total_tokens, total)
        # The likeliest every time: the same again, by whatever name and key the model is asked for.
        self.assertEqual(completion(model="default", prompt=[BEGINNING]).choices[0].text, choice.text)
        echoed = completion(echo=True).choices[0].text
        self.assertEqual(echoed, BEGINNING + choice.text)

    def test_it_comes_as_it_is_written(self):
        whole = completion()
        chunks = list(completion(stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
        self.assertEqual(text, whole.choices[0].text)
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        self.assertEqual({chunk.model for chunk in chunks}, {MODEL})
        ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
        self.assertEqual((ends[-1], set(ends[:-1])), ("length", {None}))
        self.assertEqual(chunks[-1].usage.completion_tokens, 24)
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))
        echoed = list(completion(stream=True, echo=True))
        self.assertEqual(echoed[0].choices[0].text, BEGINNING)

    def test_a_text_ends_at_a_stop(self):
        whole = completion(max_tokens=48).choices[0].text
        word = whole.split()[3]
        stopped = completion(max_tokens=48, stop=word).choices[0]
        self.assertEqual(stopped.finish_reason, "stop")
        self.assertEqual(stopped.text, whole[: whole.index(word)])
        self.assertEqual(completion(max_tokens=48, stop=["§", word]).choices[0].text, stopped.text)

    def test_a_seed_gives_the_same_text_and_another_another(self):
        texts = [completion(temperature=1, seed=seed).choices[0].text for seed in (7, 7, 8)]
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])


class Chat(unittest.TestCase):
    def test_a_conversation_goes_on(self):
        whole = chat()
        self.assertEqual((whole.object, whole.model), ("chat.completion", MODEL))
        self.assertTrue(whole.id.startswith("chatcmpl-"))
        self.assertLess(abs(whole.created - time.time()), 60)
        [choice] = whole.choices
        self.assertEqual((choice.index, choice.message.role), (0, "assistant"))
        self.assertIn(choice.finish_reason, ("stop", "length"))
        self.assertGreater(len(choice.message.content), 0)
        self.assertIsNone(choice.message.tool_calls)
        parts = [{"type": "text", "text": BEGINNING[:4]}, {"type": "text", "text": BEGINNING[4:]}]
        messages = [{"role": "developer", "content": "Tell a story."}, {"role": "user", "content": parts}]
        self.assertEqual(chat(messages=messages).choices[0].message.content, choice.message.content)

    def test_it_comes_as_it_is_said(self):
        whole = chat().choices[0]
        chunks = list(chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(text, whole.message.content)
        self.assertEqual(chunks[-2].choices[0].finish_reason, whole.finish_reason)
        self.assertGreater(chunks[-1].usage.total_tokens, 0)

    def test_the_clients_own_stream_reads_it(self):
        messages = [{"role": "user", "content": BEGINNING}]
        with CLIENT.chat.completions.stream(model=MODEL, messages=messages, max_tokens=8, temperature=0) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
        self.assertIn("content.delta", kinds)
        self.assertGreater(len(final.choices[0].message.content), 0)

    def test_an_answer_keeps_to_a_schema(self):
        schema = {
            "type": "object",
            "properties": {"sure": {"type": "boolean"}, "where": {"enum": ["quai", "dépôt"]}},
            "required": ["sure", "where"],
            "additionalProperties": False,
        }
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
        for seed in range(3):
            said = chat(response_format=wanted, temperature=1, seed=seed, max_tokens=100).choices[0].message.content
            read = json.loads(said)
            self.assertEqual(set(read), {"sure", "where"})
            self.assertIsInstance(read["sure"], bool)
            self.assertIn(read["where"], ("quai", "dépôt"))

    def test_the_client_parses_what_it_asked_for(self):
        class Answer(BaseModel):
            sure: bool

        messages = [{"role": "user", "content": BEGINNING}]
        parsed = CLIENT.chat.completions.parse(
            model=MODEL, messages=messages, response_format=Answer, max_tokens=60
        )
        self.assertIsInstance(parsed.choices[0].message.parsed, Answer)

    def test_any_object_is_an_object(self):
        said = chat(response_format={"type": "json_object"}, max_tokens=200).choices[0]
        self.assertTrue(said.message.content.lstrip().startswith("{"), said)
        if said.finish_reason == "stop":
            self.assertIsInstance(json.loads(said.message.content), dict)

    def test_asynchronous_clients_are_served_side_by_side(self):
        async def ask():
            async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, timeout=PATIENCE) as client:
                messages = [{"role": "user", "content": BEGINNING}]
                asked = {"model": MODEL, "messages": messages, "max_tokens": 24, "temperature": 0}
                whole, stream = await asyncio.gather(
                    client.chat.completions.create(**asked),
                    client.chat.completions.create(stream=True, **asked),
                )
                text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
                return whole.choices[0].message.content, text

        whole, streamed = asyncio.run(ask())
        self.assertEqual(whole, streamed)


class Embeddings(unittest.TestCase):
    def setUp(self):
        names = [model.id for model in CLIENT.models.list() if model.id != MODEL]
        if not names:
            self.skipTest("no model that embeds is in this copy (make model)")
        self.model = names[0]

    def embed(self, texts, **change):
        return CLIENT.embeddings.create(**{"model": self.model, "input": texts} | change)

    def test_texts_become_vectors_of_length_one(self):
        # The client asks for base64 by itself and unpacks it.
        packed = self.embed(["le quai est fermé", "the dock is closed", "un gâteau au chocolat"])
        plain = self.embed("le quai est fermé", encoding_format="float")
        self.assertEqual((packed.model, packed.object), (self.model, "list"))
        self.assertEqual([one.index for one in packed.data], [0, 1, 2])
        first = packed.data[0].embedding
        for mine, other in zip(first, plain.data[0].embedding, strict=True):
            self.assertAlmostEqual(mine, other, places=5)
        for one in packed.data:
            self.assertAlmostEqual(math.hypot(*one.embedding), 1, places=4)
        self.assertGreater(packed.usage.prompt_tokens, plain.usage.prompt_tokens)
        self.assertEqual(packed.usage.total_tokens, packed.usage.prompt_tokens)
        self.assertEqual(len(self.embed("x", dimensions=len(first)).data[0].embedding), len(first))

    def test_what_is_not_offered_is_refused(self):
        with self.assertRaisesRegex(openai.BadRequestError, "dimensions"):
            self.embed("x", dimensions=7)
        with self.assertRaisesRegex(openai.BadRequestError, "tokens"):
            self.embed([1, 2, 3])
        with self.assertRaises(openai.UnprocessableEntityError):
            self.embed(["x"] * 513)
        with self.assertRaises(openai.NotFoundError):
            self.embed("x", model="text-embedding-3-small")


class Refusals(unittest.TestCase):
    def refused(self, kind, ask, words, status):
        with self.assertRaisesRegex(kind, words) as caught:
            ask()
        self.assertEqual(caught.exception.status_code, status)
        # The id under which the box's log tells more.
        self.assertTrue(caught.exception.request_id)
        self.assertRegex(caught.exception.code, "^[a-z_]+$")
        return caught.exception

    def test_every_refusal_has_its_class_and_its_words(self):
        def stranger():
            BOX.client("ab.cd.ef").models.list()

        def other():
            BOX.client(BOX.key("rag")).completions.create(model=MODEL, prompt="x")

        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
        for kind, ask, words, status in [
            (openai.AuthenticationError, stranger, "not a token", 401),
            (openai.PermissionDeniedError, other, "use_assistant", 403),
            (openai.NotFoundError, lambda: chat(model="gpt-4o"), f"writes with '{MODEL}'", 404),
            (openai.BadRequestError, lambda: chat(tools=tools), "call no tools", 400),
            (openai.BadRequestError, lambda: chat(messages=image), "text alone", 400),
            (openai.BadRequestError, lambda: chat(n=2), "'n' may only be 1", 400),
            (openai.BadRequestError, lambda: completion(logprobs=3), "logprobs", 400),
            (openai.BadRequestError, lambda: completion(prompt="x " * 40000), "80000 characters", 400),
            (openai.UnprocessableEntityError, lambda: chat(temperature=7), "from 0 to 2", 422),
            (openai.UnprocessableEntityError, lambda: chat(messages=[]), "at least one", 422),
        ]:
            with self.subTest(words):
                self.refused(kind, ask, words, status)
        whole = chat(tools=tools, tool_choice="none")
        self.assertEqual(whole.choices[0].message.role, "assistant")

    def test_a_missing_model_is_told_at_once(self):
        refused, took = BOX.before
        self.assertEqual(refused.status_code, 503)
        self.assertIn("ilot model add", str(refused))
        # The client would come back twice, a minute later each time, if it were not told to spare itself.
        self.assertLess(took, 10)

    def test_who_asks_too_much_at_once_is_told_when_to_come_back(self):
        client, faults, go = BOX.client(max_retries=0), [], threading.Barrier(12)

        def ask():
            go.wait()
            try:
                client.completions.create(model=MODEL, prompt=BEGINNING, max_tokens=400, temperature=1)
            except openai.RateLimitError as refused:
                faults.append(refused)

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertTrue(faults, "twelve at once were all taken")
        for refused in faults:
            self.assertGreater(int(refused.response.headers["retry-after"]), 0)
            self.assertEqual(refused.code, "queue_full")
        # With its usual patience the client gets through.
        self.assertTrue(completion().choices[0].text)

    def test_who_goes_away_is_not_written_to(self):
        with completion(stream=True, max_tokens=100000, temperature=1) as stream:
            for _ in zip(range(3), stream):
                pass
        for _ in range(50):
            writer = BOX.writer()
            if writer["running"] == 0:
                break
            time.sleep(0.1)
        self.assertEqual((writer["running"], writer["waiting"]), (0, 0))


if __name__ == "__main__":
    unittest.main()
