"""Reads the wording files and expands one wording at random. Knows the little grammar, not what the words mean.

The grammar of a line: `(a|b|)` is a choice and may hold further choices, `x?` and `(...)?` are optional, `<name>` is
a choice from the list `@name`, and `<nonsense>` an invented word. `## intent category` opens an intent, `= ` gives its
answer, `- ` a statement of the fact that is asked for, `#` begins a comment. `{slot}` stays for the caller to fill in.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "wordings"
LANGUAGES = ("en", "zh")

Expansion = Callable[[random.Random], str]
"""A compiled wording: gives one of its texts."""


@dataclass
class Intent:
    """What a user may want: its one answer in one language, and the many wordings that ask for it."""

    name: str
    category: str
    language: str
    answer: str = ""
    wordings: list[Expansion] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """The wordings as they stand in the file."""

    statements: list[Expansion] = field(default_factory=list)
    """Of a topic in a passage: how the passage may state it."""

    def say(self, rng: random.Random) -> str:
        """One wording, at random; double spaces closed up."""
        return re.sub(r" {2,}", " ", rng.choice(self.wordings)(rng)).strip()


@dataclass
class Wordings:
    """Everything one language can say."""

    language: str
    intents: dict[str, Intent] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    literal: bool = False
    """Lines are sentences, not grammar."""

    def compile(self, line: str) -> Expansion:
        """The line as an `Expansion`. Raises ValueError when its brackets do not match or a list is unknown."""
        if self.literal:
            return lambda rng: line
        expansion, end = self._choice(line, 0)
        if end != len(line):
            raise ValueError(f"unmatched ')' at {end} in wording {line!r}")
        return expansion

    def pattern(self, line: str) -> re.Pattern[str]:
        """Matches, in full, exactly what the line can say, letters and digits alone, in lower case.

        Invented words match nothing: else a line of them alone would match every sentence.
        """
        return re.compile(self._pattern(line))

    def _pattern(self, line: str) -> str:
        made = ""
        for part in re.findall(r"<[a-z]+>|.", line.lower()):
            if part == "<nonsense>":
                made += "(?!)"
            elif len(part) > 1:
                made += "(?:" + "|".join(self._pattern(entry) for entry in self.lists[part[1:-1]]) + ")"
            else:
                made += "(?:" if part == "(" else part if part in ")|?" or part.isalnum() else "(?:)"
        return made

    def _choice(self, line: str, at: int) -> tuple[Expansion, int]:
        """Alternatives up to the closing bracket or the end; gives the position after them."""
        options: list[list[Expansion]] = [[]]
        while at < len(line) and line[at] != ")":
            if line[at] == "|":
                options.append([])
                at += 1
                continue
            atom, at = self._atom(line, at)
            if at < len(line) and line[at] == "?":
                atom, at = _optional(atom), at + 1
            options[-1].append(atom)
        if len(options) == 1:
            return _sequence(options[0]), at
        branches = [_sequence(option) for option in options]
        return lambda rng: rng.choice(branches)(rng), at

    def _atom(self, line: str, at: int) -> tuple[Expansion, int]:
        """One bracket, list or character."""
        if line[at] == "(":
            inner, end = self._choice(line, at + 1)
            if end >= len(line):
                raise ValueError(f"unmatched '(' at {at} in wording {line!r}")
            return inner, end + 1
        name = re.compile(r"<([a-z]+)>").match(line, at)
        if name:
            return self._from_list(name[1], line), name.end()
        character = line[at]
        return lambda rng: character, at + 1

    def _from_list(self, name: str, line: str) -> Expansion:
        if name == "nonsense":
            return nonsense_zh if self.language == "zh" else nonsense_en
        if name not in self.lists:
            raise ValueError(f"no list @{name} for wording {line!r}")
        entries = [self.compile(entry) for entry in self.lists[name]]
        return lambda rng: rng.choice(entries)(rng)


def _sequence(parts: list[Expansion]) -> Expansion:
    return lambda rng: "".join(part(rng) for part in parts)


def _optional(part: Expansion) -> Expansion:
    return lambda rng: part(rng) if rng.random() < 0.5 else ""


def nonsense_en(rng: random.Random) -> str:
    """An invented word of one to three syllables, such as `brolinka`."""
    onset = ["b", "br", "c", "ch", "d", "dr", "f", "g", "gl", "h", "j", "k", "l", "m", "n", "p", "pr", "r", "s", "sh"]
    onset += ["st", "t", "th", "tr", "v", "w", "z", "qu", "sk", "bl", "fl", "cr", "y", ""]
    coda = ["", "", "n", "r", "s", "t", "l", "m", "ck", "nd", "st", "x", "ng", "rt", "p"]
    return "".join(
        rng.choice(onset) + rng.choice("aeiouaeio") + rng.choice(coda) for _ in range(rng.choice([1, 2, 2, 3]))
    )


def nonsense_zh(rng: random.Random) -> str:
    """Two or three common characters that make no word together."""
    return "".join(rng.choice(COMMON_CHARACTERS) for _ in range(rng.choice([1, 2, 2, 3])))


COMMON_CHARACTERS = (
    "山水火木金土日月星云风雨雪雷河海湖江石田草花树林叶果米麦豆瓜菜肉鱼鸟虫马牛羊猪鸡狗猫虎龙象鹿兔鼠蛇龟"
    "红黄蓝绿白黑紫灰青头手足眼耳口鼻心肝骨血皮毛衣裤鞋帽床桌椅门窗墙楼桥路街城村镇县市省州国京"
    "春夏秋冬早晚东西南北左右前后高低长短宽窄轻重冷热干湿新旧老少男女父母兄弟姐妹爷奶叔姑孩童"
    "琴棋书画诗词歌舞戏剧影球拳剑枪炮车船机箱灯镜钟表笔纸墨刀叉碗筷杯盘锅壶瓶罐盒袋布线绳针"
    "甲乙丙丁戊己庚辛王李张刘陈杨赵黄周吴徐孙胡朱高林何郭罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈"
    "酸甜苦辣咸香臭软硬圆方尖平直弯深浅浓淡快慢强弱胖瘦美丑善恶真假贫富喜怒哀乐惊恐羞愁梦醉"
)


@cache
def load(language: str) -> Wordings:
    """What may be asked about Parley, `unknown` among it, from `wordings/about*.txt`: read once, to be left unchanged.

    Raises ValueError naming a bad line.
    """
    return read(language, FOLDER / f"about_unknown.{language}.txt", FOLDER / f"about.{language}.txt")


def read(language: str, *files: Path, literal: bool = False) -> Wordings:
    """All intents of these files, lists shared; `literal` lines are no grammar. Raises ValueError naming a bad line."""
    wordings = Wordings(language, literal=literal)
    lines = [line.rstrip("\n") for file in files for line in file.read_text("utf-8").splitlines()]
    for line in lines:
        if line.startswith("@"):
            name, _, entries = line[1:].partition(":")
            wordings.lists.setdefault(name, []).extend(entry.strip() for entry in entries.split("|"))
    _read_intents(wordings, lines)
    return wordings


def _read_intents(wordings: Wordings, lines: Iterable[str]) -> None:
    intent: Intent | None = None
    for line in lines:
        if line.startswith("## "):
            name, _, category = line[3:].partition(" ")
            intent = wordings.intents[name] = Intent(name, category, wordings.language)
        elif line and line[0] not in "#@":
            if intent is None:
                raise ValueError(f"a wording before the first '## intent': {line!r}")
            if line.startswith("= "):
                intent.answer = line[2:]
            elif line.startswith("- "):
                intent.statements.append(wordings.compile(line[2:]))
            else:
                intent.lines.append(line)
                intent.wordings.append(wordings.compile(line))


def system_lines() -> dict[str, list[str]]:
    """The sentences of system prompts by language, uncompiled."""
    found: dict[str, list[str]] = {}
    language = ""
    for line in (FOLDER / "about_system.txt").read_text("utf-8").splitlines():
        if line.startswith("## "):
            language = line[3:].strip()
        elif line and not line.startswith("#"):
            found.setdefault(language, []).append(line)
    return found
