"""The routes of the chat front; what is behind them is `callboard.chats`."""
