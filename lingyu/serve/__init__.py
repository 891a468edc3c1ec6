"""The service: OpenAI's chat protocol over an engine, in a plain and a professional mode."""
