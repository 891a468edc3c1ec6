"""What the metrics are called where people read them, in Chinese and English, and what each says."""

from typing import NamedTuple


class Name(NamedTuple):
    zh: str
    en: str
    says_zh: str
    says_en: str


NAMES = {
    "fact_exact": Name(
        "事实正确率", "facts right", "答出正确的值，数字与否定一处不错", "the right value is stated, no number or negation wrong"
    ),
    "fact_exact_taught": Name(
        "事实正确率：微调教过", "facts right: taught", "微调时用别的问法问过的事实", "facts that fine-tuning asked in other words"
    ),
    "fact_exact_documents": Name(
        "事实正确率：仅见于资料",
        "facts right: only in documents",
        "微调从未问过、只在预训练资料里出现的事实",
        "facts that only the pretraining text states",
    ),
    "fact_char_f1": Name("事实回答：字符 F1", "facts: character F1", "与标准答案重合的字符", "characters shared with the right answer"),
    "fact_chrf": Name("事实回答：chrF", "facts: chrF", "与标准答案重合的字符片段", "character n-grams shared with the right answer"),
    "cite_exact": Name("引用正确率", "citations right", "由条文内容说出出自哪一条", "names the article that a sentence stands in"),
    "cite_exact_taught": Name("引用正确率：微调教过", "citations right: taught", "微调时问过的条文", "articles that fine-tuning asked for"),
    "cite_exact_documents": Name(
        "引用正确率：仅见于资料",
        "citations right: only in documents",
        "微调从未问过的条文",
        "articles that only the pretraining text states",
    ),
    "recall_citation": Name("背诵条文：引用", "articles recalled: citation", "法规名称与条号都对", "title and number are right"),
    "recall_char_f1": Name(
        "背诵条文：字符 F1", "articles recalled: character F1", "与原文重合的字符", "characters shared with the article"
    ),
    "recall_chrf": Name("背诵条文：chrF", "articles recalled: chrF", "与原文重合的字符片段", "character n-grams shared with the article"),
    "classify_accuracy": Name("分类准确率", "classes right", "答非类名算错", "a reply that is no class counts as wrong"),
    "classify_macro_f1": Name("分类宏 F1", "classes: macro F1", "各类同等重要", "every class counts the same"),
    "classify_weighted_f1": Name("分类加权 F1", "classes: weighted F1", "按各类条数加权", "classes count by their number"),
    "reason_exact": Name("推理正确率", "reasoning: answers right", "思考之后的答案正确", "the answer after the thought is right"),
    "reason_format": Name("思考格式", "reasoning: format", "先思考一次，再作答", "one thought, then an answer"),
    "chat_exact": Name("通用问答正确率", "general questions right", "通用能力", "general ability"),
    "chat_char_f1": Name("通用问答：字符 F1", "general questions: character F1", "通用能力", "general ability"),
    "preference_accuracy": Name("偏好一致率", "preferences kept", "更好的回答更可能被说出", "the better reply is the likelier one"),
    "preferred_exact": Name(
        "按人的偏好作答",
        "replies as preferred",
        "说出人们更认可的回答，值与否定不错",
        "says what people's better reply says, value and negation right",
    ),
    "preferred_char_f1": Name(
        "偏好问题：字符 F1", "as preferred: character F1", "与人们更认可的回答重合的字符", "characters shared with people's better reply"
    ),
    "reward_mean": Name(
        "平均奖励",
        "mean reward",
        "奖励模型对偏好问题（没有则为事实问题）回答的评分",
        "the reward model's score of replies to what pairs ask, else of those about facts",
    ),
    "domain_bits_per_byte": Name(
        "领域文本 比特/字节", "domain text: bits per byte", "越低越熟悉领域文本", "lower: domain text surprises less"
    ),
    "general_bits_per_byte": Name(
        "通用文本 比特/字节", "general text: bits per byte", "越低越熟悉通用文本", "lower: general text surprises less"
    ),
}


def name_of(metric: str) -> Name:
    """The name of a metric; a task that came with the user's own data keeps the name it has there."""
    return NAMES.get(metric) or Name(metric.replace("_", " "), metric.replace("_", " "), "", "")
