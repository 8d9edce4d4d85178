"""The live matcher over HTTP: a JSON API and pages for review, safe by default; `kembar serve STORE`.

A request goes through `gate` (who may ask), `limits` (how much and how many at once) and `app` (which route), and ends
in one call of `kembar.store.Live`, in a thread. Every error has one form: see `answers`.
"""
