-- create
CREATE ROLE IF NOT EXISTS {{ name }} COMMENT = {{ comment }}

-- alter
ALTER ROLE {{ name }} SET COMMENT = {{ comment }}

-- grants
GRANT ROLE {{ name }} TO ROLE {{ deployer }}

{% if executes_tasks %}
GRANT EXECUTE TASK ON ACCOUNT TO ROLE {{ name }}

{% endif %}
{% if warehouse %}
GRANT USAGE ON WAREHOUSE {{ warehouse }} TO ROLE {{ name }}

{% endif %}
-- drop
DROP ROLE IF EXISTS {{ name }}
