"""A local web page to try a model on: clips compared, speakers enrolled and identified, a map of embeddings."""
