"""A params.yaml for tests, whatever the one of the project says: with comments, and the sizes of the tiny profile."""

from pathlib import Path

from lingyu.params.rewrite import rewritten

ROOT = Path(__file__).parent.parent
BARE = """# What people set.

ingest:
  # The first pattern counts.
  sources:
    - {pattern: "general/*", licence: CC-BY-4.0, scope: general}
    - pattern: "reasoning/*"
      licence: CC-BY-4.0
      scope: domain
      task: reason
    - {pattern: "incidents/*", licence: CC-BY-4.0, scope: domain, task: risk}
    - {pattern: "*", licence: CC-BY-4.0, scope: domain}  # all others

validate: {}
clean: {}
split: {}
generate: {}
review: {}

base:
  # tiny is built here.
  model: {kind: tiny, name: "", revision: ""}

mix: {}
extend: {}

# Shared by pretrain, sft, reward and align.
training:
  threads: 1
  processes: 1

pretrain: {evaluations: 4}

sft:
  common: {evaluations: 3}
  candidates: {}

reward: {}

align:
  common: {}
  candidates: {}

evaluate:
  common: {}
  # From the simplest on.
  candidates: {}

select:
  # What each stage added.
  pairs:
    - {before: base, after: pretrain, zh: 继续预训练, en: Continued pretraining}
    - {before: sft-full, after: align-dpo, guarded: true, zh: DPO 对齐, en: Alignment by DPO}

index: {}
package:
  name: lingyu-test
  title: Test
  about_en: A test.
  about_zh: 测试。

retrain: {}
release: {to: [folder]}
"""
TINY, _ = rewritten(BARE, ROOT / "profiles" / "tiny.yaml")
