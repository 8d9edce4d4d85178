"""The pair classifier: evidence columns to a calibrated probability that both posts sell one product."""
