"""Parley's table of contents: every way in, in the order of a message's path. Each body is one call.

Functions share this file, so it imports nothing that only one of them needs.
"""

from __future__ import annotations

from typing import Any

from chalice.app import Chalice, Rate, Response

from chalicelib.edge import ANY_CONTENT, current, protect

app = Chalice(app_name="parley", configure_logs=False)
app.register_middleware(protect, "http")

# -- receive: webhooks of the platforms


@app.route("/webhooks/{channel}/{bot}", methods=["GET", "POST"], content_types=ANY_CONTENT)
def webhook(channel: str, bot: str) -> Response:
    from chalicelib import webhooks

    return webhooks.take(current(app), channel, bot)


# -- receive: OpenAI's API


@app.route("/v1/responses", methods=["POST"], content_types=ANY_CONTENT)
def create_response() -> Response:
    from chalicelib import http_api

    return http_api.create_response(current(app))


@app.route("/v1/responses/{id}", methods=["GET"], content_types=ANY_CONTENT)
def retrieve_response(id: str) -> Response:
    from chalicelib import http_api

    return http_api.retrieve_response(current(app), id)


@app.route("/v1/responses/{id}", methods=["DELETE"], content_types=ANY_CONTENT)
def delete_response(id: str) -> Response:
    from chalicelib import http_api

    return http_api.delete_response(current(app), id)


@app.route("/v1/responses/{id}/cancel", methods=["POST"], content_types=ANY_CONTENT)
def cancel_response(id: str) -> Response:
    from chalicelib import http_api

    return http_api.cancel_response(current(app), id)


@app.route("/v1/responses/{id}/feedback", methods=["POST"], content_types=ANY_CONTENT)
def rate_response(id: str) -> Response:
    from chalicelib import http_api

    return http_api.rate_response(current(app), id)


@app.route("/v1/chat/completions", methods=["POST"], content_types=ANY_CONTENT)
def create_completion() -> Response:
    from chalicelib import http_api

    return http_api.create_completion(current(app))


@app.route("/v1/models", methods=["GET"], content_types=ANY_CONTENT)
def list_models() -> Response:
    from chalicelib import http_api

    return http_api.list_models(current(app))


@app.route("/v1/models/{name}", methods=["GET"], content_types=ANY_CONTENT)
def retrieve_model(name: str) -> Response:
    from chalicelib import http_api

    return http_api.retrieve_model(current(app), name)


# -- receive: the web page


@app.route("/", methods=["GET"], content_types=ANY_CONTENT)
def page() -> Response:
    from chalicelib import web_page

    return web_page.page(current(app))


@app.route("/web/{file}", methods=["GET"], content_types=ANY_CONTENT)
def page_file(file: str) -> Response:
    from chalicelib import web_page

    return web_page.file(current(app), file)


@app.route("/web/conversations", methods=["GET"], content_types=ANY_CONTENT)
def list_conversations() -> Response:
    from chalicelib import web_api

    return web_api.list_conversations(current(app))


@app.route("/web/conversations/{id}", methods=["GET"], content_types=ANY_CONTENT)
def show_conversation(id: str) -> Response:
    from chalicelib import web_api

    return web_api.show_conversation(current(app), id)


@app.route("/web/conversations/{id}", methods=["DELETE"], content_types=ANY_CONTENT)
def delete_conversation(id: str) -> Response:
    from chalicelib import web_api

    return web_api.delete_conversation(current(app), id)


@app.route("/web/conversations/{id}/messages", methods=["POST"], content_types=ANY_CONTENT)
def send_message(id: str) -> Response:
    from chalicelib import web_api

    return web_api.send_message(current(app), id)


@app.route("/web/conversations/{id}/messages/{sequence}/feedback", methods=["POST"], content_types=ANY_CONTENT)
def rate_answer(id: str, sequence: str) -> Response:
    from chalicelib import web_api

    return web_api.rate_answer(current(app), id, sequence)


@app.route("/web/conversations/{id}/cancel", methods=["POST"], content_types=ANY_CONTENT)
def cancel_turn(id: str) -> Response:
    from chalicelib import web_api

    return web_api.cancel_turn(current(app), id)


# -- receive: what the interface is, and whether it is there


@app.route("/openapi.json", methods=["GET"], content_types=ANY_CONTENT)
def describe() -> Response:
    from chalicelib import openapi

    return openapi.show(current(app))


@app.route("/health", methods=["GET"], content_types=ANY_CONTENT)
def health() -> Response:
    return Response(body='{"status":"ok"}', status_code=200, headers={"Content-Type": "application/json"})


# -- think, reply, deliver: the queues. The ARNs stand for the stack's queues; the template's merge puts those in.


@app.on_sqs_message(queue_arn="arn:aws:sqs:us-east-1:000000000000:parley-inbox.fifo", batch_size=10, name="think")
def think(event: Any) -> Any:
    from chalicelib import records

    return records.inbox(event)


@app.on_sqs_message(queue_arn="arn:aws:sqs:us-east-1:000000000000:parley-replies", batch_size=10, name="reply")
def reply(event: Any) -> Any:
    from chalicelib import records

    return records.replies(event)


# Three: a channel that does not answer costs 10 s a record, and no record may lose a try to the time limit of 40 s.
@app.on_sqs_message(queue_arn="arn:aws:sqs:us-east-1:000000000000:parley-outbox.fifo", batch_size=3, name="deliver")
def deliver(event: Any) -> Any:
    from chalicelib import records

    return records.outbox(event)


# -- sweep: the net under them


@app.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def sweep(event: Any) -> None:
    from chalicelib import records

    records.schedule(event)
