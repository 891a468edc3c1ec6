export const WORDS = {
  zh: {
    other: "English", language: "切换语言", theme: "切换深浅色", title: "知识库", chat: "对话", key: "API 密钥", enter: "确定",
    drop: "拖入文件，或点此选择", about: "文档信息（选填，用于这次上传的文件）", kind: "类别", department: "部门", valid_from: "生效日期", valid_to: "失效日期",
    groups: "可见组", groupsHint: "留空则所有人可见；多个以逗号分隔", find: "按名称、类别、部门查找", none: "没有文档。",
    limits: "每个文件不超过 {0}：{1}", sending: "上传中", uploaded: "等待读取", reading: "读取中，已得 {0} 段", embedding: "编入索引 {0}/{1}",
    passages: "{0} 段", from_index: "随模型打包", hiddenone: "已隐藏", seenby: "仅 {0} 可见", since: "自 {0}", until: "至 {0}",
    rejected: "{0} 处未采用及原因", more: "另有 {0} 处", open: "原文件", remove: "删除", hide: "隐藏", restore: "恢复", replace: "替换旧版本",
    sureRemove: "删除“{0}”？之后的回答不再引用它，下次训练也不再读取。", sureHide: "隐藏“{0}”？之后的回答不再引用它，可随时恢复。", no: "取消",
    failed: "操作失败", offline: "无法连接服务。", readonly: "此密钥只能查看文档。", off: "本服务未启用上传：启动时设置 LINGYU_DOCUMENTS=目录。",
  },
  en: {
    other: "中文", language: "Change language", theme: "Switch between light and dark mode", title: "Knowledge base", chat: "Chat", key: "API key", enter: "OK",
    drop: "Drop files here, or click to choose", about: "About these files (optional, for this upload)", kind: "Kind", department: "Department", valid_from: "Valid from", valid_to: "Valid to",
    groups: "Visible to groups", groupsHint: "empty: everybody; separated by commas", find: "Find by name, kind or department", none: "No documents.",
    limits: "Up to {0} each: {1}", sending: "Uploading", uploaded: "Waiting to be read", reading: "Reading, {0} passages so far", embedding: "Indexing {0} of {1}",
    passages: "{0} passages", from_index: "Came with the model", hiddenone: "Hidden", seenby: "Visible to {0} only", since: "from {0}", until: "until {0}",
    rejected: "{0} parts not used, and why", more: "{0} more", open: "Original", remove: "Delete", hide: "Hide", restore: "Restore", replace: "Replace the old version",
    sureRemove: "Delete “{0}”? No answer will use it from now on, and the next training will not read it.", sureHide: "Hide “{0}”? No answer will use it; it can be restored at any time.", no: "Cancel",
    failed: "That failed", offline: "Cannot reach the service.", readonly: "This key can only view documents.", off: "Uploads are off: start the service with LINGYU_DOCUMENTS=FOLDER.",
  },
};
