// The page's texts in both languages. A key in one table must be in the other (tests/test_compare_page.py).
export const WORDS = {
  zh: {
    other: "English", language: "切换语言", progress: "进度", title: "哪个回答更好？",
    about: "每次显示同一问题的两个回答，模型名称已隐藏，A、B 顺序随机。请选出对提问者更有用、内容正确的一个。",
    name: "你的名字", start: "开始", left: "A", right: "B", known: "标准答案与依据", reference: "标准答案", passage: "依据",
    better_left: "A 更好", better_right: "B 更好", tie: "一样好", bad: "都不好", undo: "撤销上一票",
    thanks: "全部完成，谢谢！", end: "每一票都已保存。可以关闭此页面；如需修改，请按 U 撤销。", nothing: "（没有回答）",
    lost: "无法保存：服务没有响应。请确认 lingyu compare 仍在运行，然后再试。", user: "用户", assistant: "助手", system: "系统",
  },
  en: {
    other: "中文", language: "Change language", progress: "Progress", title: "Which answer is better?",
    about: "You see two answers to one question. The models' names are hidden, and which is A is drawn at random. Choose the one that is right and helps the person who asked.",
    name: "Your name", start: "Start", left: "A", right: "B", known: "Right answer and source", reference: "Right answer", passage: "Source",
    better_left: "A is better", better_right: "B is better", tie: "Equally good", bad: "Both bad", undo: "Take back the last vote",
    thanks: "All done, thank you!", end: "Every vote is saved. You can close this page; to change one, press U.", nothing: "(no answer)",
    lost: "Not saved: the service does not answer. Check that lingyu compare still runs, then try again.", user: "User", assistant: "Assistant", system: "System",
  },
};
