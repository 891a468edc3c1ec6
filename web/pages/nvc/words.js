// The UI texts in both languages. A key in one table must be in the other (tests/test_rewrite.py).
export const WORDS = {
  zh: {
    other: "English", language: "切换语言", theme: "切换深色或浅色模式", title: "好好说话",
    about: "两部手机，一段对话。可能伤人的消息发出之前，会先给出另一种说法；其余消息直接送达。",
    caution: "改写由模型给出，是否采用由你决定。对话只保存在此页面，关闭即清除。",
    left: "小林", right: "小雨", to_left: "发给小林", to_right: "发给小雨", write: "输入消息", send: "发送", checking: "正在查看消息",
    ask: "这样说可能伤人", risk: "冲突风险", low: "低", medium: "中", high: "高", original: "原文", rewrite: "换一种说法",
    observation: "观察", feeling: "感受", need: "需要", request: "请求",
    use: "采用改写", anyway: "仍发原文", discard: "不发了", unchecked: "未经检查", key: "API 密钥", enter: "确定",
  },
  en: {
    other: "中文", language: "Change language", theme: "Switch between light and dark mode", title: "Say it kindly",
    about: "Two phones, one conversation. Before a message that may hurt is sent, another way to say it is shown; every other message goes through.",
    caution: "A model wrote the rewrites; whether to use one is up to you. The conversation is kept on this page only, until you close it.",
    left: "Lin", right: "Yu", to_left: "Message to Lin", to_right: "Message to Yu", write: "Write a message", send: "Send", checking: "Looking at the message",
    ask: "This may hurt", risk: "Risk of conflict", low: "low", medium: "medium", high: "high", original: "As written", rewrite: "Another way to say it",
    observation: "Observation", feeling: "Feeling", need: "Need", request: "Request",
    use: "Use the rewrite", anyway: "Send as written", discard: "Do not send", unchecked: "not checked", key: "API key", enter: "OK",
  },
};
