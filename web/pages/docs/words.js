// The UI texts in both languages. A key in one table must be in the other (tests/test_browser.py).
export const WORDS = {
  zh: {
    other: "English", language: "切换语言", theme: "切换深色或浅色模式",
    about: "本服务的全部接口。展开一项可查看字段，并直接发送请求。",
    key: "API 密钥（只保存在本页）", send: "发送", field: "字段", body: "请求体（JSON）", required: "必填",
    offline: "无法连接服务。", sending: "等待回应……",
  },
  en: {
    other: "中文", language: "Change language", theme: "Switch between light and dark mode",
    about: "Every route of this service. Open one to see its fields and to send a request.",
    key: "API key (kept on this page only)", send: "Send", field: "Field", body: "Body (JSON)", required: "required",
    offline: "Cannot reach the service.", sending: "Waiting for the reply…",
  },
};
