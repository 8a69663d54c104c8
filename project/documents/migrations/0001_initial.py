"""The table, and the sample documents in it."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from project.documents.samples import SAMPLES


def fill(apps: Any, schema_editor: Any) -> None:
    document = apps.get_model("documents", "Document")
    document.objects.bulk_create(document(title=title, text=text) for title, text in SAMPLES)


class Migration(migrations.Migration):
    initial = True

    operations = [  # noqa: RUF012 (so Django has it)
        migrations.CreateModel(
            name="Document",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("title", models.CharField(max_length=100)),
                ("text", models.TextField(blank=True)),
            ],
            options={"ordering": ("pk",)},
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
