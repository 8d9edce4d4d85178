"""The routes of the API: what each request asks of the store, and what it answers."""
