-- create
CREATE NOTIFICATION INTEGRATION IF NOT EXISTS {{ name }}
  TYPE = QUEUE
  NOTIFICATION_PROVIDER = AWS_SNS
  ENABLED = TRUE
  DIRECTION = OUTBOUND
  AWS_SNS_TOPIC_ARN = {{ topic_arn }}
  AWS_SNS_ROLE_ARN = {{ role_arn }}
  COMMENT = {{ comment }}

-- alter
ALTER NOTIFICATION INTEGRATION {{ name }} SET
  ENABLED = TRUE
  AWS_SNS_TOPIC_ARN = {{ topic_arn }}
  AWS_SNS_ROLE_ARN = {{ role_arn }}
  COMMENT = {{ comment }}

-- grants
GRANT USAGE ON INTEGRATION {{ name }} TO ROLE {{ loader }}

-- drop
DROP INTEGRATION IF EXISTS {{ name }}
