{% for anew in [false, true] %}
{% if anew %}
-- replace
CREATE OR REPLACE PIPE {{ name }}
{% else %}
-- create
CREATE PIPE IF NOT EXISTS {{ name }}
{% endif %}
  AUTO_INGEST = TRUE
  ERROR_INTEGRATION = {{ error_integration }}
  AWS_SNS_TOPIC = {{ topic_arn }}
  COMMENT = {{ comment }}
AS
COPY INTO {{ table }} (RECORD, FILE_NAME, FILE_ROW, FILE_MODIFIED, LOADED_AT)
FROM (
  SELECT
    $1,
    METADATA$FILENAME,
    METADATA$FILE_ROW_NUMBER,
    METADATA$FILE_LAST_MODIFIED,
    METADATA$START_SCAN_TIME
  FROM {{ location }}
)
FILE_FORMAT = (FORMAT_NAME = {{ format }})
ON_ERROR = SKIP_FILE

{% endfor %}
-- alter
ALTER PIPE {{ name }} SET ERROR_INTEGRATION = {{ error_integration }}

ALTER PIPE {{ name }} SET COMMENT = {{ comment }}

-- drop
DROP PIPE IF EXISTS {{ name }}
