"""Whether a text is in one of the corpus languages. Only certain cases count: a short text is never foreign."""

import re

from lingyu.text.normalise import language_of

ENOUGH = 20  # minimum letters of another script, or Latin words, to detect a language
# Scripts that Chinese and English do not use, and the share of letters from which they make a text foreign. Japanese has at
# least a third kana; a translation next to its Chinese original has less.
_KANA = re.compile(r"[\u3041-\u30ff\u31f0-\u31ff]")
_OTHER = re.compile(r"[\u0370-\u1fff\u3130-\u318f\ua000-\uabff\uac00-\ud7ff\ufb1d-\ufdff\ufe70-\ufefc]")
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff⺀-⿕]")
_LATIN_WORD = re.compile(r"[A-Za-z]{2,}")
_OTHER_ASKED = re.compile(r"[英法德日韩俄]语|英文|中文|汉语|翻译|译成|代码|程序|函数|脚本|公式|Chinese|translat|pinyin|拼音", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# Words that appear in nearly every sentence of a language.
_ENGLISH = re.compile(
    r"\b(?:the|of|and|to|a|in|is|that|it|for|on|was|with|as|be|by|at|are|this|from|or|an|have|not|you|they|we|but|which|has|had|were|been"
    r"|will|would|can|could|should|may|must|do|does|if|when|what|how|all|their|there|its|more|no|your|i|my|our|who|than|then|into|only)\b",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    r"\b(?:der|die|das|und|ist|nicht|ein|eine|den|dem|des|mit|für|auf|sich|von|zu|im|auch|wird|le|la|les|une|est|dans|pour|que|qui|sur"
    r"|avec|pas|plus|par|sont|aux|du|et|el|los|las|del|una|por|con|para|como|más|pero|il|di|che|per|non|sono|della|gli|os|um|uma|não|com"
    r"|dos|em|ao|het|een|van|niet|zijn|dat|och|att|som|är|på|av|inte|ett|og|ikke|til|af|er|jeg|na|się|nie|jest|że|je|se|si|và|của|là|có"
    r"|được|trong|không|một)\b",
    re.IGNORECASE,
)


def language(text: str) -> str:
    """ "zh", "en" or "other" if certain, "" if the text is too short or has no letters."""
    letters = sum(map(len, _LETTERS.findall(text)))
    kana, other = len(_KANA.findall(text)), len(_OTHER.findall(text))
    if (kana >= ENOUGH and kana > 0.3 * letters) or (other >= ENOUGH and other > 0.6 * letters):
        return "other"
    if letters < ENOUGH:
        return ""
    if language_of(text) == "zh":
        return "zh"
    words = len(_WORD.findall(text))
    if words < ENOUGH:
        return ""
    english, others = len(_ENGLISH.findall(text)), len(_OTHERS.findall(text))
    if others > 2 * english and others >= 0.1 * words:
        return "other"
    return "en" if english >= 0.05 * words else ""


def is_foreign(text: str, languages: tuple[str, ...]) -> bool:
    """Whether the text is certainly in none of these languages."""
    return language(text) not in {"", *languages}


def same_language(question: str, answer: str) -> bool:
    """False where a question in one language, which asks for no other, has an answer in the other; code does not count."""
    chinese, english = _CJK.search(question) is not None, _LATIN_WORD.search(question) is not None
    if chinese == english:
        return True
    answer = CODE.sub(" ", answer)
    if chinese:
        words = len(_LATIN_WORD.findall(answer))
        other = words >= 4 and len(_CJK.findall(answer)) * 4 < words
    else:
        characters = len(_CJK.findall(answer))
        other = characters >= 8 and len(_LATIN_WORD.findall(answer)) * 4 < characters
    return not other or _OTHER_ASKED.search(question) is not None
