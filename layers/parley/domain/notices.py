"""What users are told when there is no answer, in their own language as far as their writing shows it."""

from __future__ import annotations

import re

from parley.domain.limits import Kind, Over

_HAN = re.compile(r"[\u3400-\u9fff]")

_FAILED = {
    "en": "Sorry, I could not answer that. Please try again in a moment.",
    "zh": "抱歉，这条消息我没能回答。请稍后再试一次。",
}

_RESTING = {
    "en": "Sorry, I am resting until the end of the month, and cannot answer before. Your message is kept.",
    "zh": "抱歉，本月的额度已经用完，我要休息到月底，在那之前无法回答。你的消息已经保存。",
}


_OVER = {
    Kind.REQUESTS: (
        "You write faster than I may answer: at most {allowed} questions a minute. Please ask again in a minute.",
        "你问得太快了：每分钟最多 {allowed} 个问题。请过一分钟再问。",
    ),
    Kind.TOKENS: (
        "You have used up today's share of me. I can answer again tomorrow (from midnight UTC).",
        "你今天的额度已经用完，明天（世界协调时零点起）我才能再回答。",
    ),
    Kind.TURNS: (
        "I am still busy with your other questions: at most {allowed} at once. Please ask again when one is answered.",
        "我还在回答你的其他问题：最多同时 {allowed} 个。请等其中一个回答后再问。",
    ),
}


def language(text: str) -> str:
    """`zh` for a text with Chinese characters in it, else `en`."""
    return "zh" if _HAN.search(text) else "en"


def failed(text: str) -> str:
    """The notice for a turn that failed; `text` is what the user wrote."""
    return _FAILED[language(text)]


def resting(text: str) -> str:
    """The notice for a message that comes when the month's budget is used up."""
    return _RESTING[language(text)]


def over(text: str, limit: Over) -> str:
    """The notice for a message of a user who has taken all that it may for now."""
    return _OVER[limit.kind][language(text) == "zh"].format(allowed=limit.allowed)


def waking(text: str, seconds: float | None) -> str:
    """The notice while the model wakes up; `seconds` is what that took lately, None when nobody knows yet."""
    chinese = language(text) == "zh"
    if seconds is None:
        about = "几分钟" if chinese else "some minutes"
    else:
        minutes = max(1, round(seconds / 60))
        about = f"约 {minutes} 分钟" if chinese else f"about {minutes} minute{'s' if minutes > 1 else ''}"
    if chinese:
        return f"模型正在醒来，需要{about}。你的消息已经保存，稍后就会回答。"
    return f"The model is waking up, which takes {about}. Your message is kept, and will be answered then."
