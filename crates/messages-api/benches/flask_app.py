"""The two reading routes of `messages-api` as a Flask app with boto3: what `scripts/bench api`
compares with, in the least code. For each request the token is verified with the pool's key,
which is fetched once; Postgres is asked for the person, by a connection that is kept; DynamoDB
once for the inbox, twice for a conversation, by one client. It remembers nobody and logs nothing.
"""

import os

import boto3
import jwt
from boto3.dynamodb.types import TypeDeserializer
from flask import Flask, jsonify, request
from psycopg_pool import ConnectionPool

POOL = os.environ["AWS_COGNITO_USER_POOL_ID"]
CLIENT = os.environ["AWS_COGNITO_USER_POOL_CLIENT_ID"]
ISSUER = f"https://cognito-idp.{POOL.split('_')[0]}.amazonaws.com/{POOL}"
KEYS = jwt.PyJWKClient(f"{os.environ['AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER']}/{POOL}/.well-known/jwks.json", cache_keys=True)

app = Flask(__name__)
dynamodb = boto3.client("dynamodb")
python = TypeDeserializer().deserialize
people = ConnectionPool(os.environ["CONNECTION_URL"], min_size=1, max_size=1, open=True)


def person():
    """The uuid of whoever asks, or nothing."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        key = KEYS.get_signing_key_from_jwt(token).key
        claims = jwt.decode(token, key, algorithms=["RS256"], issuer=ISSUER, options={"require": ["exp", "iss", "sub"]})
    except jwt.PyJWTError:
        return None
    if claims.get("token_use") != "access" or claims.get("client_id") != CLIENT:
        return None
    with people.connection() as db:
        row = db.execute("SELECT uuid FROM users WHERE cognito_user_id = %s", (claims["sub"],)).fetchone()
    return str(row[0])


def query(pk, **more):
    found = dynamodb.query(TableName="cruddur-messages", ScanIndexForward=False, KeyConditionExpression="pk = :pk",
                           ExpressionAttributeValues={":pk": {"S": pk}} | more.pop("values", {}), **more)
    return [{name: python(value) for name, value in item.items()} for item in found["Items"]]


def shown(item, uuid):
    return {"uuid": item[uuid], "display_name": item["user_display_name"], "handle": item["user_handle"],
            "message": item["message"], "created_at": item["sk"]}


@app.get("/api/message_groups")
def message_groups():
    me = person()
    if me is None:
        return {}, 401
    return jsonify([shown(item, "message_group_uuid") for item in query(f"GRP#{me}", Limit=20)])


@app.get("/api/messages/<uuid:group>")
def messages(group):
    me = person()
    if me is None:
        return {}, 401
    mine = query(f"GRP#{me}", ConsistentRead=True, FilterExpression="message_group_uuid = :group",
                 values={":group": {"S": str(group)}})
    if not mine:
        return jsonify([]), 404
    return jsonify([shown(item, "message_uuid") for item in reversed(query(f"MSG#{group}", Limit=20))])
