"""The service: OpenAI's chat protocol over an inference engine, in plain and professional mode."""
