"""What tells who somebody is goes out of a text, what only looks like it stays."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from training.collect.personal_data import mask, mask_record


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mail jo.smith+x@example.co.uk now", "mail [email] now"),
        ("jane (at) example (dot) com", "[email]"),
        ("我的邮箱是zhang_wei@qq.com，谢谢", "我的邮箱是[email]，谢谢"),
        ("邮箱：ｚｈａｎｇ＠ｑｑ．ｃｏｍ", "邮箱：[email]"),
        ("call (415) 555-2671 or 415-555-0132", "call [phone] or [phone]"),
        ("+44 20 7946 0958, 07911 123456, +33 1 42 68 53 00", "[phone], [phone], [phone]"),
        ("415 5552671, (415)5552671, 0791 1123456, 400-820-8820", "[phone], [phone], [phone], [phone]"),
        ("手机号13800138000，或138-0013-8000", "手机号[phone]，或[phone]"),
        ("+86 138 0013 8000 座机 010-62771234", "[phone] 座机 [phone]"),
        ("１３８００１３８０００", "[phone]"),
        ("一三八零零一三八零零零", "[phone]"),
        ("card 4111 1111 1111 1111.", "card [card]."),
        ("卡号5500005555555559", "卡号[card]"),
        ("SSN 536-22-8726", "SSN [id]"),
        ("my social security number is 536 22 8726", "my social security number is [id]"),
        ("NI AB 12 34 56 C", "NI [id]"),
        ("身份证11010519491231002X谢谢", "身份证[id]谢谢"),
        ("号码 110105 19491231 002X", "号码 [id]"),
        ("身份证号是110105194912310021", "身份证号是[id]"),
        ("passport number is E12345678 thanks", "passport number is [id] thanks"),
    ],
)
def test_personal_data_is_masked_in_english_and_chinese_forms(text: str, left: str) -> None:
    assert mask(text)[0] == left


@pytest.mark.parametrize(
    "text",
    [
        "order 1234567890 please",
        "订单号 202611250001，价格是12345678元",
        "4111111111111112 fails Luhn's sum",
        "110105194912310021 has a wrong check digit",
        "666-12-3456 was never given out",
        "on 2026-11-25 at 14:00, version 1.2.3.4567",
        "10.0.0.1:8080, 93.184.216.34 and 192.168.100.200",
        "8388608 256 and 25000000 54",
        "一二三四五六七八九十",
        "3.14159265358979",
    ],
)
def test_numbers_that_are_nobodys_stay(text: str) -> None:
    assert mask(text) == (text, {})


def test_a_records_messages_and_tool_arguments_are_masked_and_stay_json() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"phone": 13800138000, "n": 3}'}}
    record: dict[str, Any] = {"messages": [
        {"role": "user", "content": "I am a@b.com"}, {"role": "assistant", "content": "", "tool_calls": [call]},
    ]}  # fmt: skip
    masked, counts = mask_record(record)
    assert masked["messages"][0]["content"] == "I am [email]"
    arguments = masked["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"phone": "[phone]", "n": 3}
    assert counts == {"email": 1, "phone": 1}
    assert record["messages"][0]["content"] == "I am a@b.com"


@pytest.mark.parametrize("unit", ["a", "a.", "a@", "身份证", "SSN ", "a (at) ", "1"])
def test_hostile_text_takes_time_in_proportion_to_its_length(unit: str) -> None:
    def seconds(length: int) -> float:
        text, begun = unit * (length // len(unit)), time.process_time()
        mask(text)
        return time.process_time() - begun

    # 16 times the length: a pattern that tries every pair of places would take 256 times as long
    assert seconds(160_000) < 80 * max(seconds(10_000), 0.002)
