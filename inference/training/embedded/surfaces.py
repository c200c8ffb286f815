"""Random names, numbers, dates and other values, in English and Chinese. Knows no wordings.

What is invented is either for training or held out, never both: the text's CRC-32 decides (`is_held_out`).
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

from training.embedded import vocabulary as words

HELD_OUT_SHARE = 6
"""One in so many invented values is held out."""


def is_held_out(text: str) -> bool:
    """Whether a value belongs to the evaluation sets, and so is never trained on."""
    return zlib.crc32(text.encode()) % HELD_OUT_SHARE == 0


class Surfaces:
    """Draws values for slots, all of them for training or all held out."""

    def __init__(self, rng: random.Random, held_out: bool = False) -> None:
        self.rng = rng
        self._held_out = held_out

    def fill(self, slot: str, language: str) -> str:
        """A value for `slot`. Those that can be invented without end are split; calendar words are in both."""
        make: Callable[[str], str] = getattr(self, f"_{slot}")
        if slot in SHARED:
            return make(language)
        while is_held_out(text := make(language)) != self._held_out:
            pass
        return self._kind(slot, language) + text

    def _kind(self, slot: str, language: str) -> str:
        """What may stand before a thing: `evening ` before a course, most often nothing."""
        if (slot, language) not in words.KINDS or self.rng.random() < 0.75:
            return ""
        return self._pick(*words.KINDS[slot, language]) + ("" if language == "zh" else " ")

    def dated(self, language: str) -> tuple[str, str]:
        """A date as one writes it, and with the preposition before it: `("Friday", "on Friday")`."""
        date, kind = self._date_and_kind(language)
        if language == "zh":
            return date, date
        return date, f"on {date}" if kind == "day" or (kind == "date" and self.rng.random() < 0.8) else date

    def _pick(self, *options: str) -> str:
        return self.rng.choice(options)

    def _digits(self, count: int) -> str:
        return "".join(self.rng.choice("0123456789") for _ in range(count))

    def _syllables(self, count: int) -> str:
        rng = self.rng
        return "".join(
            rng.choice(words.ONSETS)
            + rng.choice(words.VOWELS)
            + (rng.choice(words.CODAS) if rng.random() < 0.5 else "")
            for _ in range(count)
        ).capitalize()

    def _word(self, language: str) -> str:
        if language == "zh":
            return "".join(self.rng.choice(words.NAME_CHARACTERS) for _ in range(self.rng.choice((2, 2, 3))))
        return self._syllables(self.rng.choice((2, 2, 3)))

    def _name(self, language: str) -> str:
        rng = self.rng
        if language == "zh":
            given = "".join(rng.choice(words.NAME_CHARACTERS) for _ in range(rng.choice((1, 2, 2))))
            return rng.choice(words.FAMILY_NAMES) + given
        first = rng.choice(words.FIRST_NAMES) if rng.random() < 0.6 else self._syllables(2)
        return first if rng.random() < 0.3 else f"{first} {self._syllables(rng.choice((1, 2, 2, 3)))}"

    def _person(self, language: str) -> str:
        if language == "zh":
            return self._name(language) + self._pick("", "", "老师", "医生", "女士", "先生")
        return self._pick("", "", "Dr. ", "Ms. ", "Mr. ", "Mrs. ") + self._name(language)

    def _bot(self, language: str) -> str:
        if language == "zh":
            return self._pick("小", "阿", "") + self._word(language)
        return self._pick(*words.FIRST_NAMES) if self.rng.random() < 0.5 else self._syllables(2)

    def _business(self, language: str) -> str:
        if language == "zh":
            return self._word(language) + self._pick(*words.BUSINESSES_ZH)
        return f"{self._word(language)} {self._pick(*words.BUSINESSES_EN)}"

    def _id(self, language: str) -> str:
        letters = "".join(self.rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(self.rng.choice((1, 2, 2, 3))))
        digits = self._digits(self.rng.choice((3, 4, 5, 6)))
        return self._pick(f"{letters}-{digits}", f"{letters}{digits}", digits, f"{letters}-{digits}-{self._digits(2)}")

    def _code(self, language: str) -> str:
        return self._pick(self._id(language), self._syllables(2).lower() + self._digits(3), self._digits(8))

    def _price(self, language: str) -> str:
        rng = self.rng
        amount = rng.choice(
            (str(rng.randint(2, 99)), f"{rng.randint(1, 60)}.{rng.choice(('50', '90', '20', '75', '80'))}")
        )
        amount = amount if rng.random() < 0.8 else str(rng.randint(10, 99) * 10)
        if language == "zh":
            return self._pick(f"{amount}元", f"{amount}元", f"{amount}块", f"¥{amount}")
        return self._pick(f"{amount} euros", f"${amount}", f"{amount} dollars", f"£{amount}", f"{amount} pounds")

    def _percent(self, language: str) -> str:
        return f"{self.rng.randint(2, 60)}%"

    def _n(self, language: str) -> str:
        return str(self.rng.randint(2, 40))

    _n2 = _n

    def _year(self, language: str) -> str:
        return str(self.rng.randint(1890, 2024))

    def _time(self, language: str) -> str:
        rng = self.rng
        hour, minute = rng.randint(7, 20), rng.choice(("00", "15", "30", "45", "30", "00", "10", "20", "40", "50"))
        clock = f"{hour:02d}:{minute}" if rng.random() < 0.4 else f"{hour}:{minute}"
        if rng.random() < 0.4:
            return clock
        twelve = (hour - 1) % 12 + 1
        if language == "zh":
            part = "上午" if hour < 12 else "中午" if hour == 12 else "下午" if hour < 18 else "晚上"
            number = rng.choice((str(twelve), words.NUMBERS_ZH[twelve]))
            return self._pick(part, part, "") + number + self._pick("点", "点", "点半", "点一刻", "点钟")
        half = "am" if hour < 12 else "pm"
        return self._pick(
            f"{twelve} {half}",
            f"{twelve}{half}",
            f"{twelve}:{minute} {half}",
            f"{twelve} o'clock",
            f"half past {words.NUMBERS_EN[twelve]}",
            f"quarter past {words.NUMBERS_EN[twelve]}",
            f"quarter to {words.NUMBERS_EN[twelve]}",
            "noon" if hour == 12 else f"{twelve} {half}",
        )

    _time2 = _time

    def _day(self, language: str) -> str:
        if language == "zh":
            return self._pick("周", "星期") + self._pick(*"一二三四五六日")
        return self._pick(*words.DAYS)

    def _date(self, language: str) -> str:
        return self._date_and_kind(language)[0]

    _date2 = _date

    def _date_and_kind(self, language: str) -> tuple[str, str]:
        rng, day, month = self.rng, self.rng.randint(1, 28), self.rng.randint(1, 12)
        iso = f"{rng.randint(2024, 2031)}-{month:02d}-{day:02d}"
        if language == "zh":
            named = self._day("zh")
            near = self._pick("明天", "后天", "今天", "大后天")
            written = self._pick(
                f"{month}月{day}日", f"{month}月{day}号", f"{day}号", f"{words.MONTHS_ZH[month - 1]}月{day}号"
            )
            return self._pick(near, named, "下" + named, "这" + named, written, written, written, iso), "date"
        name = words.MONTHS[month - 1]
        ordinal = f"{day}{'th' if 10 < day < 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"
        if (roll := rng.random()) < 0.18:
            return self._pick("tomorrow", "today", "the day after tomorrow"), "near"
        if roll < 0.34:
            return f"{self._pick('next', 'this')} {self._pick(*words.DAYS)}", "near"
        if roll < 0.5:
            return self._pick(*words.DAYS), "day"
        return self._pick(
            f"{day} {name}",
            f"{name} {day}",
            f"{name} {ordinal}",
            f"the {ordinal}",
            f"the {ordinal} of {name}",
            iso,
            iso,
            f"{day}/{month}",
            f"{month}/{day}/{rng.randint(2024, 2031)}",
        ), "date"

    def _duration(self, language: str) -> str:
        number = self.rng.randint(2, 60)
        if language == "zh":
            return f"{number}{self._pick('天', '个工作日', '分钟', '小时', '周', '个月')}"
        return f"{number} {self._pick('days', 'working days', 'minutes', 'hours', 'weeks', 'months')}"

    def _phone(self, language: str) -> str:
        d = self._digits
        if language == "zh":
            return self._pick(f"1{d(10)}", f"0{d(2)}-{d(8)}", f"0{d(3)}-{d(7)}", f"400-{d(3)}-{d(4)}")
        return self._pick(
            f"0{d(2)} {d(4)} {d(4)}", f"{d(3)}-{d(3)}-{d(4)}", f"+{d(2)} {d(3)} {d(6)}", f"0{d(3)} {d(6)}"
        )

    def _email(self, language: str) -> str:
        user = self._pick("info", "hello", "desk", "contact", "office", self._syllables(2).lower())
        return f"{user}@{self._syllables(self.rng.choice((2, 3))).lower()}.{self._pick('com', 'org', 'net', 'example')}"

    def _street(self, language: str) -> str:
        number = self.rng.randint(1, 199)
        return (
            f"{self._streetname(language)}{number}号" if language == "zh" else f"{number} {self._streetname(language)}"
        )

    def _streetname(self, language: str) -> str:
        if language == "zh":
            return self._word(language) + self._pick("路", "街", "大道", "巷")
        return f"{self._word(language)} {self._pick('Street', 'Road', 'Lane', 'Avenue', 'Square', 'Way')}"

    def _place(self, language: str) -> str:
        if language == "zh":
            return self._word(language) + self._pick("站", "广场站", "路口站")
        return f"{self._word(language)} {self._pick('Station', 'Square', 'Market', 'Bridge', 'Park')}"

    def _product(self, language: str) -> str:
        zh = language == "zh"
        kind = self._pick(*(words.PRODUCTS_ZH if zh else words.PRODUCTS_EN))
        quality = self._pick(*(words.QUALITIES_ZH if zh else words.QUALITIES_EN))
        if self.rng.random() < 0.25:
            return self._word(language) + ("" if zh else " ") + kind
        return quality + ("" if zh else " ") + kind

    def _from(self, english: tuple[str, ...], chinese: tuple[str, ...], language: str) -> str:
        return self._pick(*(chinese if language == "zh" else english))

    def _course(self, language: str) -> str:
        return self._from(words.COURSES_EN, words.COURSES_ZH, language)

    def _field(self, language: str) -> str:
        return self._from(words.FIELDS_EN, words.FIELDS_ZH, language)

    def _treatment(self, language: str) -> str:
        return self._from(words.TREATMENTS_EN, words.TREATMENTS_ZH, language)

    def _dept(self, language: str) -> str:
        return self._from(words.DEPARTMENTS_EN, words.DEPARTMENTS_ZH, language)

    def _material(self, language: str) -> str:
        return self._from(words.MATERIALS_EN, words.MATERIALS_ZH, language)

    def _language(self, language: str) -> str:
        return self._from(words.LANGUAGES_EN, words.LANGUAGES_ZH, language)

    _language2 = _language

    def _side(self, language: str) -> str:
        return self._from(("left", "right", "back", "north", "south"), ("左", "右", "后", "北", "南"), language)

    def _floor(self, language: str) -> str:
        return self._from(("ground", "first", "second", "third", "fourth"), tuple("一二三四五"), language)

    def _method(self, language: str) -> str:
        methods = words.METHODS_ZH if language == "zh" else words.METHODS_EN
        first, second = self.rng.sample(methods, 2)
        return first if self.rng.random() < 0.5 else f"{first}{'和' if language == 'zh' else ' and '}{second}"

    def _item(self, language: str) -> str:
        return self._from(words.ITEMS_EN, words.ITEMS_ZH, language)

    def _status(self, language: str) -> str:
        return self._from(words.STATUSES_EN, words.STATUSES_ZH, language)


SHARED = frozenset(
    ["time", "time2", "day", "date", "date2", "n", "n2", "year", "percent", "duration", "material", "language"]
).union(["language2", "side", "floor", "dept", "field", "status", "method", "item"])
"""Slots with too few values to be split."""
