"""Delivery: brings a decided exposure to users. One small interface (`target`), and one file for each way."""
