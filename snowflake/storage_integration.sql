-- create
CREATE STORAGE INTEGRATION IF NOT EXISTS {{ name }}
  TYPE = EXTERNAL_STAGE
  STORAGE_PROVIDER = 'S3'
  ENABLED = TRUE
  STORAGE_AWS_ROLE_ARN = {{ role_arn }}
  STORAGE_AWS_EXTERNAL_ID = {{ external_id }}
  STORAGE_ALLOWED_LOCATIONS = ({{ location }})
  COMMENT = {{ comment }}

-- alter
ALTER STORAGE INTEGRATION {{ name }} SET
  ENABLED = TRUE
  STORAGE_AWS_ROLE_ARN = {{ role_arn }}
  STORAGE_AWS_EXTERNAL_ID = {{ external_id }}
  STORAGE_ALLOWED_LOCATIONS = ({{ location }})
  COMMENT = {{ comment }}

-- grants
GRANT USAGE ON INTEGRATION {{ name }} TO ROLE {{ owner }}

-- drop
DROP INTEGRATION IF EXISTS {{ name }}
