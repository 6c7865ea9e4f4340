-- People have fixed uuids: the messages in DynamoDB name them, and a database
-- that is created anew must not orphan these.

INSERT INTO users (uuid, display_name, handle, email, cognito_user_id) VALUES
  ('4f0c2b1e-7d3a-4a55-9c1e-2b6a8d9e0f11', 'Jess Brookes', 'jess-bk', 'jess@example.com', 'MOCK'),
  ('9a7d5c3b-1e2f-4b68-8d47-5f3c1a2e6b22', 'Bayko Lund', 'bayko', 'bayko@example.com', 'MOCK'),
  ('c3e8f6a4-5b7d-4c91-a2f0-7e9b4d1c8a33', 'Maren Holt', 'maren', 'maren@example.com', 'MOCK'),
  ('e1b9d7f5-8a6c-4d24-b3e1-9c0f6a2b5d44', 'Tariq Osei', 'tariq', 'tariq@example.com', 'MOCK')
ON CONFLICT DO NOTHING;

INSERT INTO activities (uuid, user_uuid, message, expires_at) VALUES
  ('1d2c3b4a-5f6e-4789-9a0b-1c2d3e4f5a66', '9a7d5c3b-1e2f-4b68-8d47-5f3c1a2e6b22',
   'The boat floats. Mostly.', now() + interval '10 days')
ON CONFLICT DO NOTHING;
