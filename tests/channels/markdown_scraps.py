"""Scraps that Markdown is made of, for properties over whatever a model may write."""

from __future__ import annotations

from hypothesis import strategies as st

MARKDOWN_SCRAPS = st.sampled_from(
    [
        *["*", "**", "***", "_", "__", "~~", "~", "`", "``", "```", "```py\n", "~~~", "[", "](", "]", ")", "![", "\\"],
        *["\n", "\n\n", " ", "  ", "> ", "- ", "# ", "1. ", "---\n", "| a | b |\n", "|---|---|\n", "- [x] "],
        *["<", ">", "&", "&amp;", "<b>", "</pre>", "<!channel>", "<@U1>", "<!--", "<?x>", '"', "@here"],
        *["https://x.y/a_b", "<https://x.y>", "[l](https://x.y/?a=1&b=2)", "[l](tg://user?id=1)", "[l](!here)"],
        *["word", "中文", "。", "，", "：", "é", "😀", "👩\u200d💻", "\ud83d", "\u0000", "1"],
    ]
) | st.text(max_size=5)
