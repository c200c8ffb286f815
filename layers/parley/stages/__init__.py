"""The path of a message, a file a stage, in the order of the path:

    webhook_to_inbox  ->  inbox_to_model  ->  model_to_outbox  ->  outbox_to_channel      (overdue_turns watches)
        receive()            think()             reply()               deliver()              sweep()

`answer_to_caller` is the way back for those who come and fetch: the HTTP API and the web page.
"""
