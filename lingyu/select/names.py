"""What people read, in Chinese and English: the names of metrics with a note on each, and the headings of the report and the model card."""

from typing import NamedTuple


class Term(NamedTuple):
    zh: str
    en: str


class Name(NamedTuple):
    zh: str
    en: str
    note_zh: str
    note_en: str


NAMES = {
    "weighted_score": Name("加权得分", "weighted score", "各任务指标按权重的平均", "mean of the tasks' metrics by their weights"),
    "fact_exact": Name(
        "事实准确率",
        "fact accuracy",
        "答出正确的值，数字与否定均无误",
        "the reply states the correct value, with no wrong number or negation",
    ),
    "fact_exact_taught": Name(
        "事实准确率（微调覆盖）",
        "fact accuracy (seen in fine-tuning)",
        "以其他问法训练过该事实",
        "facts that fine-tuning covered with other phrasings",
    ),
    "fact_exact_documents": Name(
        "事实准确率（仅见于文档）",
        "fact accuracy (documents only)",
        "微调未涉及、仅出现在预训练文本中的事实",
        "facts that appear only in the pretraining text",
    ),
    "fact_char_f1": Name(
        "事实回答字符 F1", "fact answers: character F1", "与标准答案的字符重合度", "character overlap with the reference answer"
    ),
    "fact_chrf": Name(
        "事实回答 chrF", "fact answers: chrF", "与标准答案的字符 n-gram 重合度", "character n-gram overlap with the reference answer"
    ),
    "cite_exact": Name(
        "引用准确率", "citation accuracy", "根据内容指出所在条款", "the reply names the article that the quoted text comes from"
    ),
    "cite_exact_taught": Name(
        "引用准确率（微调覆盖）", "citation accuracy (seen in fine-tuning)", "微调中出现过的条款", "articles that fine-tuning covered"
    ),
    "cite_exact_documents": Name(
        "引用准确率（仅见于文档）",
        "citation accuracy (documents only)",
        "微调中未出现过的条款",
        "articles that appear only in the pretraining text",
    ),
    "recall_citation": Name(
        "条文复述：引用", "article recall: citation", "法规名称与条号均正确", "title and article number are both correct"
    ),
    "recall_char_f1": Name(
        "条文复述：字符 F1", "article recall: character F1", "与原文的字符重合度", "character overlap with the text of the article"
    ),
    "recall_chrf": Name(
        "条文复述：chrF", "article recall: chrF", "与原文的字符 n-gram 重合度", "character n-gram overlap with the text of the article"
    ),
    "classify_accuracy": Name(
        "分类准确率", "classification accuracy", "回答不是类别名即判错", "a reply that is not a class name counts as wrong"
    ),
    "classify_macro_f1": Name("分类宏平均 F1", "classification macro F1", "各类别权重相同", "unweighted mean over the classes"),
    "classify_weighted_f1": Name(
        "分类加权 F1", "classification weighted F1", "按各类别样本数加权", "mean over the classes, weighted by support"
    ),
    "reason_exact": Name("推理准确率", "reasoning accuracy", "思考之后给出的答案正确", "the answer after the reasoning is correct"),
    "reason_format": Name("推理格式合格率", "reasoning format", "先思考一次，再作答", "exactly one block of reasoning, then an answer"),
    "cite_invented": Name(
        "虚构引用", "invented citations", "引用了法规中不存在的条款，越低越好", "articles that the statute does not have; lower is better"
    ),
    "cite_wrong_number": Name(
        "引用：条号错误", "citations: wrong number", "条款存在，但不是所问的条款", "an article that exists, but another"
    ),
    "cite_wrong_title": Name("引用：法规名称错误", "citations: wrong title", "引用了题目之外的法规", "a statute that was not asked about"),
    "cite_uncited": Name("引用：未引用条款", "citations: none", "回答没有引用任何条款", "the reply cites no article"),
    "choice_exact": Name("考题准确率", "exam accuracy", "所选选项与正确选项完全一致", "the chosen options are exactly the right ones"),
    "choice_partial": Name(
        "考题得分（部分分）", "exam score, partial", "选错得零分，少选按比例得分", "no credit with a wrong option, else the share"
    ),
    "choice_likelihood": Name(
        "考题准确率（按似然）", "exam accuracy by likelihood", "正确选项的似然最高", "the right options are the likeliest"
    ),
    "inquire_asked": Name(
        "主动追问：必要信息", "asking back: what is needed", "问到的必要信息所占比例", "share of the needed items asked for"
    ),
    "inquire_complete": Name("主动追问：全部问到", "asking back: complete", "全部必要信息都问到", "all that is needed is asked for"),
    "inquire_needless": Name(
        "主动追问：多余问题", "asking back: needless", "与必要信息无关的提问所占比例", "share of questions for nothing needed"
    ),
    "outside_refused": Name("领域外拒答率", "refusal outside the domain", "对领域外问题拒答", "refuses questions outside the domain"),
    "wrong_refusals": Name("误拒率", "wrong refusals", "本应回答却拒答，越低越好", "refuses what it should answer; lower is better"),
    "repetition": Name(
        "重复率", "repetition", "回答中重复的四元组所占比例，越低越好", "share of four-grams that repeat earlier ones; lower is better"
    ),
    "chat_exact": Name("通用问答准确率", "general QA accuracy", "通用能力", "general ability"),
    "chat_char_f1": Name("通用问答字符 F1", "general QA: character F1", "通用能力", "general ability"),
    "preference_accuracy": Name("偏好准确率", "preference accuracy", "更优回答的似然更高", "the chosen reply has the higher likelihood"),
    "preferred_exact": Name(
        "偏好回答匹配率",
        "preferred-reply match",
        "生成的回答在取值和否定上与更优回答一致",
        "the generated reply agrees with the chosen reply in value and negation",
    ),
    "preferred_char_f1": Name(
        "偏好回答字符 F1", "preferred reply: character F1", "与更优回答的字符重合度", "character overlap with the chosen reply"
    ),
    "reward_mean": Name(
        "平均奖励",
        "mean reward",
        "奖励模型对偏好问题回答的打分（没有偏好问题时用事实问题）",
        "reward model score of the replies to preference prompts, or to fact questions if there are none",
    ),
    "domain_bits_per_byte": Name(
        "领域文本 BPB（比特/字节）", "domain text: bits per byte", "越低表示对领域文本的建模越好", "lower is better"
    ),
    "general_bits_per_byte": Name(
        "通用文本 BPB（比特/字节）", "general text: bits per byte", "越低表示对通用文本的建模越好", "lower is better"
    ),
}

HEADINGS = {
    # Shared by the report and the card.
    "metric": Term("指标", "Metric"),
    "items": Term("题数", "Items"),
    "evaluation": Term("评测结果", "Evaluation"),
    # The report.
    "report": Term("评测报告", "Evaluation report"),
    "winner": Term("胜出模型", "Winner"),
    "no_winner": Term("没有胜出模型", "No winner"),
    "choice": Term("选择：开发集上的主指标", "Choice: the primary metric on the dev items"),
    "tested": Term("测试集结果", "Results on the test"),
    "result": Term("结论", "Result"),
    "outcome promoted": Term("胜出", "promoted"),
    "outcome no difference": Term("无显著差异", "no significant difference"),
    "outcome worse": Term("更差", "worse"),
    "outcome lost": Term("有损失", "lost something"),
    "outcome noise": Term("在种子波动之内", "within what seeds differ by"),
    "similarity": Term("语义相似度的校准", "Calibration of the similarity"),
    "pair related": Term("同义", "paraphrase"),
    "pair unrelated": Term("无关", "unrelated"),
    "pair negated": Term("相反", "negated"),
    "pair number": Term("数字不同", "wrong number"),
    "pair value": Term("相似度", "Similarity"),
    "pair apart": Term("低于同义句的比例", "Below paraphrases"),
    "pair cosine": Term("仅余弦", "Cosine alone"),
    "seeds": Term("不同随机种子的结果", "The same training with other seeds"),
    "seed values": Term("各种子的取值", "By seed"),
    "seed spread": Term("最大与最小之差", "Largest less smallest"),
    "outcome not shown": Term("未证明无损失", "no loss not shown"),
    "guard kept": Term("未变差", "no worse"),
    "guard lost": Term("显著下降", "significantly worse"),
    "guard unshown": Term("未能证明", "not shown"),
    "guard few": Term("题数不足", "too few items"),
    "reference_only": Term("仅作参照", "reference only"),
    "rejected": Term("未通过门禁", "rejected"),
    "paired_tests": Term("配对检验", "Paired tests"),
    "challenger": Term("挑战者", "Challenger"),
    "against": Term("对比模型", "Compared with"),
    "difference": Term("差值", "Difference"),
    "interval": Term("95% 置信区间", "95% CI"),
    "stages": Term("各阶段的效果", "Effect of each stage"),
    "no_change": Term("没有显著变化", "no significant change"),
    "all_metrics": Term("全部指标", "All metrics"),
    "loss_curves": Term("损失曲线", "Loss curves"),
    "training": Term("训练", "training"),
    "validation": Term("验证", "validation"),
    "final_loss": Term("最终验证损失", "final validation loss"),
    "confusion": Term("分类：混淆矩阵", "Classification: confusion matrix"),
    "invalid": Term("无效", "invalid"),
    "full_question": Term("完整题目", "Full question"),
    "chosen_how": Term("如何选出", "How it was chosen"),
    "better_at": Term("更好", "Better at"),
    "worse_at": Term("更差", "Worse at"),
    "no_difference": Term("没有显著差异。", "No significant difference."),
    "compared_with": Term("与之相比：", "Compared with "),
    "worst": Term("危害最大的错误回答", "The wrong answers that hurt most"),
    "passage": Term("依据", "What it rests on"),
    "retrieval_set": Term("检索回归集", "Retrieval set"),
    "retrieval found": Term("找到", "found"),
    "retrieval lost": Term("丢失：此前能找到", "lost: an earlier run found it"),
    "retrieval not found": Term("尚未找到", "not found yet"),
    "retrieval refused": Term("最高得分过低，未作答", "not answered: its best passage scores too low"),
    "retrieval other passages": Term("先找到的是", "found first:"),
    "retrieval not in the corpus": Term("语料中没有该段落", "the passage is not in the corpus"),
    "judged": Term("语言模型打分", "Scores by a language model"),
    "judged_replies": Term("已评回答", "Replies scored"),
    "judged_length": Term("与长度的秩相关", "Rank correlation with length"),
    "compared": Term("并排盲评：", "Side by side: "),
    "people": Term("人工评审", "People"),
    "all_items": Term("全部测试题", "All test items"),
    "task": Term("任务", "Task"),
    "outcome": Term("结果", "Outcome"),
    "search": Term("搜索", "Search"),
    "every": Term("全部", "all"),
    "shown_items": Term("道题", "items shown"),
    "item right": Term("答对", "right"),
    "item fixed": Term("只有它答对", "right, others wrong"),
    "item wrong": Term("答错", "wrong"),
    "item broken": Term("答错，其他模型答对", "wrong, others right"),
    "item scored": Term("按细则打分", "scored by its rubric"),
    "rubric": Term("评分细则", "Rubric"),
    "harm invented": Term("引用了不存在的条款", "cites an article that does not exist"),
    "harm another": Term("说出了别的值", "states another value"),
    "harm broken": Term("其他模型答对", "another checkpoint is right"),
    "harm taught": Term("微调中教过", "was taught in fine-tuning"),
    "harm refused": Term("拒绝回答", "refuses to answer"),
    "external": Term("外部模型", "external model"),
    "example": Term("例", "example"),
    "reference_answer": Term("标准答案", "Reference answer"),
    # The card.
    "architecture": Term("架构", "Architecture"),
    "parameters": Term("参数量", "Parameters"),
    "embedded": Term("词嵌入", "embeddings"),
    "layers": Term("层数与注意力头", "Layers and heads"),
    "context": Term("上下文长度", "Context length"),
    "languages": Term("语言", "Languages"),
    "base_model": Term("基座模型", "Base model"),
    "checkpoint": Term("胜出的检查点", "Selected checkpoint"),
    "licence": Term("许可证", "Licence"),
    "usage": Term("使用方法", "How to use"),
    "serving": Term("部署", "Serving"),
    "not_for": Term("不适用的场合", "Out of scope"),
    "method": Term("训练方法与参数", "Training"),
    "stage": Term("阶段", "Stage"),
    "settings": Term("参数", "Settings"),
    "matrix": Term(
        "混淆矩阵（测试集；行为实际类别，列为预测，– 为无效回答）",
        "Confusion matrix (test; rows: actual, columns: predicted, dash: no class)",
    ),
    "training_data": Term("训练数据", "Training data"),
    "table": Term("表", "Table"),
    "folder": Term("目录", "Folder"),
    "scope": Term("范围", "Scope"),
    "files": Term("文件数", "Files"),
    "rows": Term("行数", "Rows"),
    "rows_in": Term("输入", "In"),
    "rows_made": Term("生成", "Made"),
    "rows_dropped": Term("丢弃（原因）", "Dropped, by reason"),
    "rows_out": Term("输出", "Out"),
    "learnt": Term("训练表", "Trained on"),
    "tokens": Term("token 数", "Tokens"),
    "contact": Term("联系方式", "Contact"),
    "this_model": Term("本模型", "This model"),
    "untrained_base": Term("未训练的基座", "Untrained base"),
    "limits": Term("局限与免责声明", "Limitations and disclaimer"),
    "lineage": Term("溯源", "Lineage"),
    "citation": Term("引用", "Citation"),
}


OVERLAPS = {
    **{f"bleu_{order}": (f"BLEU-{order}", f"BLEU-{order}") for order in range(1, 5)},
    **{f"rouge_{kind}": (f"ROUGE-{kind.upper()}", f"ROUGE-{kind.upper()}") for kind in "12l"},
    "word_f1": ("词 F1", "word F1"),
    "char_f1": ("字符 F1", "character F1"),
    "exact": ("准确率", "accuracy"),
    "judged": ("评审得分", "judge's score"),
}

JUDGED = {
    "accuracy": ("准确", "accuracy"),
    "helpfulness": ("有用", "helpfulness"),
    "safety": ("安全", "safety"),
    "lacking": ("未给分", "no scores"),
    "rubric": ("自带细则", "own rubrics"),
}
JUDGED_NOTE = ("语言模型的打分", "points given by a language model")


def name_of(metric: str) -> Name:
    """The name of a metric; one of the user's own task keeps the task's name."""
    if metric in NAMES:
        return NAMES[metric]
    if metric.startswith("judged_"):
        zh, en = JUDGED.get(metric.removeprefix("judged_"), (metric.removeprefix("judged_"),) * 2)
        return Name(f"评审：{zh}", f"judge: {en}", *JUDGED_NOTE)
    for value, (zh, en) in {**OVERLAPS, "similarity": ("语义相似度", "similarity in meaning")}.items():
        if (task := metric.removesuffix(f"_{value}")) != metric:
            return Name(f"{task.replace('_', ' ')} {zh}", f"{task.replace('_', ' ')}: {en}", "", "")
    return Name(metric.replace("_", " "), metric.replace("_", " "), "", "")


def heading(key: str) -> Term:
    return HEADINGS[key]
