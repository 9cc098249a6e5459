-- create
CREATE STAGE IF NOT EXISTS {{ name }}
  URL = {{ url }}
  STORAGE_INTEGRATION = {{ integration }}
  FILE_FORMAT = (FORMAT_NAME = {{ format }})
  COMMENT = {{ comment }}

-- alter
ALTER STAGE {{ name }} SET FILE_FORMAT = (FORMAT_NAME = {{ format }})

ALTER STAGE {{ name }} SET COMMENT = {{ comment }}

-- grants

{% for grant in grants %}
{{ grant }}

{% endfor %}
-- drop
DROP STAGE IF EXISTS {{ name }}
