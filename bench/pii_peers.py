"""pii_peers: mask texts with libraries of the field, in an environment of their own. Called by bench/pii.py --peers.

Reads a JSON list of texts from standard input; writes {peer: {"texts": masked, "seconds": of one core, "version": …}} to standard output.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version


def datatrove() -> Callable[[str], str]:
    from datatrove.pipeline.formatters.pii import PIIFormatter

    formatter = PIIFormatter(only_remove_public_ips=False)
    return formatter.format


def scrubadub() -> Callable[[str], str]:
    import scrubadub as library

    scrubber = library.Scrubber()
    return scrubber.clean


def presidio() -> Callable[[str], str]:
    """Its recognisers by pattern, without a language model: those that know what the labelled set has."""
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer import predefined_recognizers as known
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])
    engine.nlp = {"en": spacy.blank("en")}
    rules = [
        known.EmailRecognizer(),
        known.IpRecognizer(),
        known.CreditCardRecognizer(),
        known.PhoneRecognizer(supported_regions=("CN", "US")),
    ]
    analyzer = AnalyzerEngine(registry=RecognizerRegistry(rules), nlp_engine=engine, supported_languages=["en"])

    def masked(text: str) -> str:
        for find in sorted(analyzer.analyze(text, language="en"), key=lambda find: -find.start):
            text = text[: find.start] + "<X>" + text[find.end :]
        return text

    return masked


def main() -> None:
    texts = json.load(sys.stdin)
    results = {}
    for name, make, package in (
        ("presidio", presidio, "presidio-analyzer"),
        ("datatrove", datatrove, "datatrove"),
        ("scrubadub", scrubadub, "scrubadub"),
    ):
        mask = make()
        mask(texts[0])
        started = time.process_time()
        results[name] = {"texts": [mask(text) for text in texts], "seconds": time.process_time() - started, "version": version(package)}
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
