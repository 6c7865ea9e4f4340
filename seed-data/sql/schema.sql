-- The app's people and their activities.

CREATE TABLE users (
  uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  display_name text NOT NULL,
  handle text NOT NULL UNIQUE,
  email text NOT NULL,
  cognito_user_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Sign-in looks people up by the id of their Cognito user.
CREATE INDEX users_cognito_user_id ON users (cognito_user_id);

CREATE TABLE activities (
  uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_uuid uuid NOT NULL REFERENCES users (uuid),
  message text NOT NULL,
  replies_count integer NOT NULL DEFAULT 0,
  reposts_count integer NOT NULL DEFAULT 0,
  likes_count integer NOT NULL DEFAULT 0,
  reply_to_activity_uuid uuid REFERENCES activities (uuid),
  expires_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- A person's page shows the newest first; a thread shows its replies.
CREATE INDEX activities_user_uuid ON activities (user_uuid, created_at DESC);
CREATE INDEX activities_reply_to ON activities (reply_to_activity_uuid);
