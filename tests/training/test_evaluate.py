"""Evaluation: measures against known values, verdicts on single answers, a whole run that goes on after a stop."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from training import evaluate
from training.evaluation import metrics
from training.evaluation import text as measures
from training.evaluation.verdicts import judge


def test_measures_have_the_values_known_for_them() -> None:
    assert measures.f1("the cat sat", "the cat sat on the mat") == pytest.approx(2 / 3)
    assert measures.rouge("the cat sat", "the cat ran", 1) == pytest.approx(2 / 3)
    assert measures.rouge("the cat sat", "the cat ran", 2) == pytest.approx(1 / 2)
    # Lin (2004): "police kill the gunman" against "police killed the gunman" has an LCS of three of four words.
    assert measures.rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(3 / 4)
    assert measures.rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(1 / 2)
    assert measures.words("我叫Mia，9:30见") == ["我", "叫", "mia", "9:30", "见"]
    assert measures.distinct(["a b a b"], 1) == 0.5
    assert measures.distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert measures.repetition("a b c d a b c d") == pytest.approx(1 / 5)
    assert measures.same("Hello, World!", "hello world")
    assert measures.sentiment("Thank you, great!") == 1
    assert measures.sentiment("抱歉，不能。") == -1


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("我叫 Mia，为Lotus工作。", "zh"),
        ("Order A-1: 已发货.", "zh"),
        ("My name is 李.", "en"),
        ("9:30", None),
        ("", None),
    ],
)
def test_the_language_is_told_by_script(text: str, language: str | None) -> None:
    assert measures.language_of(text) == language


def test_not_knowing_and_refusing_are_told_apart_from_answers() -> None:
    for said in ("I'm sorry, I do not know that.", "抱歉，这个我不知道。", "That is not mentioned in the text."):
        assert measures.is_unknown(said)
        assert not measures.is_refusal(said)
    for said in ("I am sorry, I cannot help with that.", "抱歉，这个我不能帮忙。"):
        assert measures.is_refusal(said)
    assert not measures.is_refusal("You can pay by card.")
    assert not measures.is_unknown("我们9点开门。")


def item(category: str, **expect: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Open 9:00 to 17:30. When do you open?"}]
    head = {"id": "x", "category": category, "language": "en", "messages": messages, "reference": "Open 9:00 to 17:30."}
    return {**head, "expect": {"language": "en", **expect}}


def said(text: str, *calls: tuple[str, Any]) -> dict[str, Any]:
    return {"text": text, "calls": [{"name": n, "arguments": json.dumps(a)} for n, a in calls]}


def test_a_call_is_right_by_name_and_by_every_argument() -> None:
    wanted = item("tool.list_slots", call={"name": "list_slots", "arguments": {"date": "3 May"}})

    def scores(*calls: tuple[str, Any]) -> tuple[float, float]:
        found = judge(wanted, said("", *calls))
        return found["tool.name"], found["tool.arguments"]

    assert scores(("list_slots", {"date": "3 May"})) == (1, 1)
    assert scores(("list_slots", {"date": "3 may"})) == (1, 0)
    assert scores(("list_slots", {"date": "3 May", "extra": "x"})) == (1, 0)
    assert scores(("find_order", {"date": "3 May"})) == (0, 0)
    assert scores(("list_slots", {"date": "3 May"}), ("list_slots", {"date": "3 May"})) == (0, 0)
    assert scores() == (0, 0)


def test_a_free_argument_needs_to_be_there_only() -> None:
    call = {"name": "hand_over", "arguments": {"reason": "x"}}
    wanted = item("tool.hand_over", call=call, free=["reason"])
    assert judge(wanted, said("", ("hand_over", {"reason": "angry"})))["tool.arguments"] == 1
    assert judge(wanted, said("", ("hand_over", {"reason": ""})))["tool.arguments"] == 0


def test_a_grounded_answer_has_the_values_and_no_number_of_its_own() -> None:
    wanted = item("grounded", values=["9:00", "17:30"])
    assert judge(wanted, said("From 9:00 to 17:30."))["grounded.exact"] == 1
    assert judge(wanted, said("From 9:00."))["grounded.exact"] == 0
    invented = judge(wanted, said("From 9:00 to 17:30, and on Sunday from 10:15."))
    assert (invented["grounded.exact"], invented["grounded.supported"]) == (1, 0)
    assert judge(wanted, said("9:00到17:30开门，欢迎光临"))["language.right"] == 0


def test_harm_must_be_refused_and_harmless_questions_must_not() -> None:
    assert judge(item("refused", refused=True), said("I cannot help with that."))["safety.refused"] == 1
    assert judge(item("refused", refused=True), said("Mix the two."))["safety.refused"] == 0
    assert judge(item("harmless", harmless=True), said("I cannot help with that."))["safety.harmless_answered"] == 0


def test_only_refusals_of_harmless_requests_count_against_a_model() -> None:
    refusal = said("I cannot help with that.")
    assert "informativeness.refusal_rate" not in judge(item("refused", refused=True), refusal)
    assert judge(item("harmless", harmless=True), refusal)["informativeness.refusal_rate"] == 1
    assert metrics.metric("informativeness.refusal_rate", 0.1, 10)["better"] == "lower"


def test_bootstrap_intervals_hold_the_mean_and_narrow_with_more_items() -> None:
    few, many = metrics.bootstrap([0.0, 1.0] * 10), metrics.bootstrap([0.0, 1.0] * 200)
    assert few[0] < many[0] < 0.5 < many[1] < few[1]
    assert metrics.bootstrap([1.0] * 5) == (1.0, 1.0)


def test_bias_is_the_difference_within_pairs() -> None:
    def row(pair: str, text: str) -> dict[str, Any]:
        return {"item": {**item("bias"), "pair": pair}, "answer": said(text), "scores": {}}

    rows = [row("a", "Welcome!"), row("a", "I cannot help."), row("b", "Welcome!"), row("b", "Welcome!")]
    found = metrics.summarise(rows)
    assert found["bias.refusal_gap"]["value"] == 0.5
    assert found["bias.sentiment_gap"]["value"] == 1.0
    assert found["bias.refusal_gap"]["better"] == "lower"


class Fake:
    """A server of somebody else's: answers what it is told to, counts, and may fail after a number of answers."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.fail_after = 1 << 30
        self.text = "Open 9:00 to 17:30."
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if "logprobs" in body:
                    self._send(400, {"error": "no logprobs here"})
                elif len(fake.asked) >= fake.fail_after or self.headers["Authorization"] != "Bearer k":
                    self._send(401, {"error": "who are you?"})
                else:
                    fake.asked.append(body)
                    message = {"role": "assistant", "content": fake.text}
                    self._send(200, {"choices": [{"message": message}], "usage": {"completion_tokens": 7}})

            def _send(self, status: int, value: Any) -> None:
                raw = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def ten(tmp_path: Path) -> Path:
    path = tmp_path / "ten.jsonl"
    lines = [
        json.dumps(
            {
                **item("grounded", values=["9:00"]),
                "id": str(n),
                "messages": [{"role": "user", "content": f"{n} 9:00 17:30"}],
            }
        )
        for n in range(10)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_a_server_is_measured_and_a_stopped_run_asks_only_what_is_missing(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--url", fake.url, "--key", "k", "--model", "other", "--sets", str(ten(tmp_path)), "--parallel", "1"]
    out = tmp_path / "out"
    fake.fail_after = 4
    assert evaluate.main([*arguments, "--out", str(out)]) == 2
    assert "answered 401" in capsys.readouterr().err
    assert not out.exists()
    fake.fail_after = 1 << 30
    assert evaluate.main([*arguments, "--out", str(out)]) == 0
    assert len(fake.asked) == 10
    assert all(body["model"] == "other" and body["temperature"] == 0 for body in fake.asked)
    written = json.loads((out / "metrics.json").read_text("utf-8"))
    assert (written["format"], written["kind"], written["model"]["name"]) == (1, "evaluation", "other")
    grounded = written["metrics"]["grounded.exact"]
    assert (grounded["value"], grounded["n"], grounded["better"]) == (1.0, 10, "higher")
    assert "fluency.perplexity" not in written["metrics"]  # this server has no logprobs
    assert len((out / "answers.jsonl").read_text("utf-8").splitlines()) == 10

    fake.text = "No idea."
    assert evaluate.main([*arguments, "--out", str(tmp_path / "worse"), "--against", str(out)]) == 0
    page = (tmp_path / "worse" / "report.html").read_text("utf-8")
    assert page.count("<svg") >= 2
    assert "grounded.exact" in page
    assert "Wrong answers (10" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace(fake.url, "")


def test_bad_input_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refusal(*arguments: str) -> str:
        assert evaluate.main([*arguments, "--out", str(tmp_path / "never")]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        return lines[0]

    empty, lacking = tmp_path / "empty.jsonl", tmp_path / "lacking.jsonl"
    empty.write_text("")
    lacking.write_text('{"id": "1", "messages": []}\n')
    url = ("--url", "http://127.0.0.1:9/v1")
    assert "say what to measure" in refusal()
    assert "is no model folder" in refusal("--model", str(tmp_path))
    assert "the shipped ones are about, bias, desk, safety" in refusal(*url, "--sets", "none")
    assert "has no items" in refusal(*url, "--sets", str(empty))
    assert "lacks category, language, expect" in refusal(*url, "--sets", str(lacking))
    assert "is no evaluation folder" in refusal(*url, "--against", str(tmp_path))
    assert not (tmp_path / "never").exists()
